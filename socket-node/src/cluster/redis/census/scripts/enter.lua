-- The first subscriber of a node. ARGV: holder, name, subscriptions, wants, '1' if nothing is to be written down,
-- former holder or ''.

if not stands(ARGV[1]) then
    return { LOST }
end
enter_channel(ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5] == '1')
supersede(ARGV[6], entry('c', ARGV[2], ''))
return { DONE }
