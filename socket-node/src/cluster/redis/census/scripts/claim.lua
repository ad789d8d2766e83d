-- Takes over journal entries that somebody has read and not taken off, and forgets readers that are gone.
-- ARGV: group, reader, milliseconds of idleness, how many.

local journal, forgotten_after = tag .. 'journal', 3600000
for _, reader in ipairs(redis.call('XINFO', 'CONSUMERS', journal, ARGV[1])) do
    -- name, its value, pending, its value, idle, its value
    if reader[4] == 0 and reader[6] > forgotten_after then
        redis.call('XGROUP', 'DELCONSUMER', journal, ARGV[1], reader[2])
    end
end
return redis.call('XAUTOCLAIM', journal, ARGV[1], ARGV[2], ARGV[3], '0', 'COUNT', ARGV[4])[2]
