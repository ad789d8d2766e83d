-- Whether it is the first time that somebody finds a channel empty. KEYS: the event, the mark of a miss.
-- ARGV: milliseconds after which it may be told again.

if redis.call('EXISTS', KEYS[1]) == 1 then
    return 0
end
return redis.call('SET', KEYS[2], '', 'NX', 'PX', ARGV[1]) and 1 or 0
