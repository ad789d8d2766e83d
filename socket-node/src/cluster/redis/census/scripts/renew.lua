-- Renews a lease. ARGV: holder, milliseconds. Also one that is over, as long as nobody has noticed: nothing is swept
-- before the lease is gone.

if not stands(ARGV[1]) then
    return { LOST }
end
redis.call('ZADD', KEYS[1], 'XX', now + ARGV[2], ARGV[1])
return { DONE }
