-- An event becomes the last one of its channel, and all nodes hear of it, in one step: the order of what is kept is the
-- order of what is heard.
-- KEYS: the event, the mark of a miss, the number of the last event of this origin in the shard.
-- ARGV: topic, or '' if nobody is to hear; what is to be heard; bytes of it that are no part of the event; its number;
-- milliseconds for which it is kept; the command that publishes.

-- An origin that lost its connection says again what it has said: others may have missed it, but here something newer may
-- stand by now.
local last = redis.call('GET', KEYS[3])
if not last or tonumber(last) < tonumber(ARGV[4]) then
    redis.call('SET', KEYS[1], string.sub(ARGV[2], ARGV[3] + 1), 'PX', ARGV[5])
    redis.call('DEL', KEYS[2])
    redis.call('SET', KEYS[3], ARGV[4], 'PX', ARGV[5])
end
if ARGV[1] ~= '' then
    redis.call(ARGV[6], ARGV[1], ARGV[2])
end
return 1
