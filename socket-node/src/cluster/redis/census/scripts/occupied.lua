-- The occupied channels of an app in this shard whose names begin alike, each with its subscriptions and its members.
-- ARGV: app, prefix.

local found = {}
for _, channel in ipairs(redis.call('SMEMBERS', tag .. 'channels:' .. ARGV[1])) do
    if string.sub(channel, 1, #ARGV[2]) == ARGV[2] then
        local name = ARGV[1] .. ':' .. channel
        table.insert(found, channel)
        table.insert(found, subscriptions_of(name))
        table.insert(found, redis.call('HLEN', tag .. 'nodes:' .. name))
    end
end
return found
