-- How many subscriptions and members a channel has. ARGV: name.

return { subscriptions_of(ARGV[1]), redis.call('HLEN', tag .. 'nodes:' .. ARGV[1]) }
