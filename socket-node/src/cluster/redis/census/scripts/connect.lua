-- Counts connections of an app in, unless it has all that it may have. ARGV: holder, name of the app, connections,
-- limit or '' for none, former holder or ''. There is one number a node, so that the sum is soon made.

if not stands(ARGV[1]) then
    return { LOST }
end
local quota = tag .. 'quota:' .. app_of(ARGV[2])
if ARGV[4] ~= '' then
    local sum = tonumber(ARGV[3])
    for _, connections in ipairs(redis.call('HVALS', quota)) do
        sum = sum + connections
    end
    if sum > tonumber(ARGV[4]) then
        return { REFUSED }
    end
end
hold(ARGV[1], entry('q', ARGV[2], ''), 0)
redis.call('HINCRBY', quota, ARGV[1], ARGV[3])
supersede(ARGV[5], entry('q', ARGV[2], ''))
return { DONE }
