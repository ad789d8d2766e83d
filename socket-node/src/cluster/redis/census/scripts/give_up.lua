-- Gives a holder up: whatever it still has is swept. ARGV: holder.

redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('SADD', tag .. 'dead', ARGV[1])
return { DONE }
