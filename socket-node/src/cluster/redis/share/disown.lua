-- Takes a shard from a node that has it.
-- KEYS: the shard's owner. ARGV: the node.
if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('DEL', KEYS[1])
end
return 0
