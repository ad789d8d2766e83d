-- The first connection of a member on a node. ARGV: holder, name, user, info, limit or '' for none, wants,
-- '1' if nothing is to be written down, '1' if the roster is asked for, former holder or ''.
-- Answers the version, whether it was the first anywhere, and the roster as users and infos in turn.

local holder, name, user = ARGV[1], ARGV[2], ARGV[3]
if not stands(holder) then
    return { LOST }
end
local nodes = tag .. 'nodes:' .. name
local is_full = ARGV[5] ~= '' and redis.call('HLEN', nodes) >= tonumber(ARGV[5])
if is_full and redis.call('HEXISTS', nodes, user) == 0 then
    return { REFUSED }
end
local is_first = join_member(holder, name, user, ARGV[4], tonumber(ARGV[6]), ARGV[7] == '1')
supersede(ARGV[9], entry('m', name, user))
local roster = ARGV[8] == '1' and redis.call('HGETALL', tag .. 'members:' .. name)
return { DONE, version_of(name), is_first and 1 or 0, roster }
