-- For the servers of a cluster.

local PUBLISH = 'SPUBLISH'

-- While a slot is on its way to another server, a key that is not here may be there, and asking for it is an error. What
-- this script does it does whole or not at all: so it asks for one that is nowhere, before it does anything else.
redis.call('EXISTS', KEYS[1] .. ':nowhere')
