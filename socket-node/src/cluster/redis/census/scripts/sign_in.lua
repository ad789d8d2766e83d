-- The first connection of a signed-in user on a node. ARGV: holder, name, user, former
-- holder or ''.

if not stands(ARGV[1]) then
    return { LOST }
end
sign_in_user(ARGV[1], ARGV[2], ARGV[3])
supersede(ARGV[4], entry('u', ARGV[2], ARGV[3]))
return { DONE }
