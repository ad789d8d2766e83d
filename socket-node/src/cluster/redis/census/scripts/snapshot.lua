-- The members of a channel and the version of which they are. ARGV: name.

return { version_of(ARGV[1]), redis.call('HGETALL', tag .. 'members:' .. ARGV[1]) }
