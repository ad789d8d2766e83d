-- A channel's last subscriber, or a member's or signed-in user's last connection, leaves a node.
-- ARGV: holder, kind, name, user or ''.

if not stands(ARGV[1]) then
    return { LOST }
end
undo(ARGV[1], entry(ARGV[2], ARGV[3], ARGV[4]))
return { DONE }
