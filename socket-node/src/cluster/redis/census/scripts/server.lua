-- For a single server.

local PUBLISH = 'PUBLISH'
