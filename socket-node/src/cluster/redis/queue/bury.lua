-- Moves a job from the queue to the dead letters, unless somebody else has dealt with it.
-- KEYS: the stream, the dead letters. ARGV: the entry, the cause, the attempts, most dead letters.
local entry = redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1])[1]
if not entry then
  return 0
end
local time = redis.call('TIME')
local letter = entry[2]
for _, text in ipairs({'cause', ARGV[2], 'attempts', ARGV[3], 'dead_at_ms', time[1] * 1000 + math.floor(time[2] / 1000)}) do
  table.insert(letter, text)
end
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[4], '*', unpack(letter))
redis.call('XDEL', KEYS[1], ARGV[1])
return 1
