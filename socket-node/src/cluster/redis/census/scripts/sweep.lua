-- Takes back what the dead held, and writes down which departures are final. ARGV: '1' if the sweeper may judge who
-- is dead, how many of each to do at once: other scripts wait meanwhile.
-- Answers whether there is more, the leases it found over, the journal's length, and what was ever cut from it.

local most = tonumber(ARGV[2])
local over = {}
if ARGV[1] == '1' then
    over = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, most)
    for _, holder in ipairs(over) do
        redis.call('ZREM', KEYS[1], holder)
        redis.call('SADD', tag .. 'dead', holder)
    end
end

local dead = redis.call('SRANDMEMBER', tag .. 'dead')
if dead then
    local held = tag .. 'held:' .. dead
    for _, of in ipairs(redis.call('HRANDFIELD', held, most)) do
        undo(dead, of)
    end
    if redis.call('EXISTS', held) == 0 then
        redis.call('SREM', tag .. 'dead', dead)
    end
end

-- Without any node there is nobody who could come back, and nobody who would write it down later.
local latest = redis.call('EXISTS', KEYS[1]) == 1 and now_us or '+inf'
local final = redis.call('ZRANGEBYSCORE', tag .. 'due', '-inf', latest, 'LIMIT', 0, most)
for _, due in ipairs(final) do
    settle(due)
end

local is_more = redis.call('EXISTS', tag .. 'dead') == 1 or #final == most
local cut = tonumber(redis.call('GET', tag .. 'cut') or 0)
return { is_more and 1 or 0, #over, redis.call('XLEN', tag .. 'journal'), cut }
