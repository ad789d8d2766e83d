-- Gives a shard to a node for a while, if it is that node's already or nobody's. Answers whether the node has it.
-- KEYS: the shard's owner. ARGV: the node, milliseconds.
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
