-- Adds jobs to a stream, in order, as many as there is room for, and answers how many those were. A batch that comes
-- again, because its answer was lost, is answered as before.
-- KEYS: the stream, the writer's last batch. ARGV: number of the batch, most entries, milliseconds for which the batch
-- is remembered, the jobs.
local last = redis.call('HMGET', KEYS[2], 'batch', 'taken')
if last[1] == ARGV[1] then
  return tonumber(last[2])
end
local room = tonumber(ARGV[2]) - redis.call('XLEN', KEYS[1])
local taken = math.max(0, math.min(#ARGV - 3, room))
for i = 4, taken + 3 do
  redis.call('XADD', KEYS[1], '*', 'job', ARGV[i])
end
redis.call('HSET', KEYS[2], 'batch', ARGV[1], 'taken', taken)
redis.call('PEXPIRE', KEYS[2], ARGV[3])
return taken
