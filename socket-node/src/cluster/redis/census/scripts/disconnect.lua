-- Counts a connection of an app out. ARGV: holder, name of the app.

if not stands(ARGV[1]) then
    return { LOST }
end
local quota = tag .. 'quota:' .. app_of(ARGV[2])
local connections = tonumber(redis.call('HGET', quota, ARGV[1]) or 0)
if connections > 1 then
    redis.call('HINCRBY', quota, ARGV[1], -1)
else
    undo(ARGV[1], entry('q', ARGV[2], ''))
end
return { DONE }
