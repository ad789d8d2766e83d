-- How many subscribers of a channel a node has now. ARGV: holder, name, subscriptions.

if not stands(ARGV[1]) then
    return { LOST }
end
local subs = tag .. 'subs:' .. ARGV[2]
if redis.call('HEXISTS', subs, ARGV[1]) == 1 then
    redis.call('HSET', subs, ARGV[1], ARGV[3])
end
return { DONE }
