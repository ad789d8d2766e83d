-- Opens a new holder's lease, and lets the former ones last as long, so that they outlive the entering again.
-- ARGV: holder, milliseconds, former holders. Answers when this life of the shard began: another number than
-- before says that everything was lost.

local deadline = now + ARGV[2]
local microseconds = clock[1] .. string.format('%06d', clock[2])

-- Versions go on from the clock, so that those of an emptied Redis are above all that nodes have heard before.
redis.call('SET', tag .. 'version', microseconds, 'NX')
redis.call('SET', tag .. 'life', microseconds, 'NX')
redis.call('ZADD', KEYS[1], deadline, ARGV[1])
for former = 3, #ARGV do
    redis.call('ZADD', KEYS[1], 'XX', deadline, ARGV[former])
end
return tonumber(redis.call('GET', tag .. 'life'))
