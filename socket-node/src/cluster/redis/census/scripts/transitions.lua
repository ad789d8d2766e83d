-- How a holder's entries come and go. Whoever does it, a node that lives or one that sweeps up after a dead one, does
-- it through these, so that an edge means the same everywhere.
--
-- 'held:<holder>' has every entry once: what stands there has been counted for this holder, and what does not, has not.
-- Doing anything twice is therefore the same as doing it once. Its values are the webhooks that the app wants:
-- 1 of the arrival, 2 of the departure.

local HOLD_US = 3000000
local LONGEST_JOURNAL = 100000
local LAYOUT, JOINED, LEFT, ONLINE, OFFLINE = 1, 1, 2, 3, 4

local function stands(holder)
    return redis.call('ZSCORE', tag .. 'leases', holder)
end

-- Kinds are 'c' for channels, 'm' for members, 'u' for signed-in users, 'q' for an app's connections.
local function entry(kind, name, user)
    return kind .. struct.pack('>I4', #name) .. name .. user
end

local function parts(of)
    local length = struct.unpack('>I4', of, 2)
    return string.sub(of, 1, 1), string.sub(of, 6, 5 + length), string.sub(of, 6 + length)
end

local function hold(holder, of, wants)
    return redis.call('HSET', tag .. 'held:' .. holder, of, wants) == 1
end

-- The webhooks that were wanted, or nothing if the holder does not have it.
local function let_go(holder, of)
    local held = tag .. 'held:' .. holder
    local wants = redis.call('HGET', held, of)
    if wants then
        redis.call('HDEL', held, of)
    end
    return wants and tonumber(wants)
end

local function write_down(kind, name, user)
    local journal = tag .. 'journal'
    redis.call('XADD', journal, '*', 'kind', kind, 'name', name, 'user', user)
    if redis.call('XLEN', journal) > LONGEST_JOURNAL then
        redis.call('INCRBY', tag .. 'cut', redis.call('XTRIM', journal, 'MAXLEN', '~', LONGEST_JOURNAL))
    end
end

-- The first has come. If a departure is still held back, neither happened.
local function arrived(of, wants, is_quiet)
    local was_away = redis.call('ZREM', tag .. 'due', '\1' .. of, '\2' .. of, '\3' .. of) > 0
    if wants % 2 == 1 and not was_away and not is_quiet then
        local kind, name, user = parts(of)
        write_down(kind == 'm' and 'added' or 'occupied', name, user)
    end
end

-- The last has gone, unless it comes back at once.
local function departed(of, wants)
    if wants > 0 then
        redis.call('ZADD', tag .. 'due', now_us + HOLD_US, string.char(wants) .. of)
    end
end

-- A held departure has become final.
local function settle(due)
    redis.call('ZREM', tag .. 'due', due)
    if string.byte(due) >= 2 then
        local kind, name, user = parts(string.sub(due, 2))
        write_down(kind == 'm' and 'removed' or 'vacated', name, user)
    end
end

-- Tells all nodes, in the same step as it happens: the version gives what they hear its order.
local function notify(kind, name, user, info)
    local version = redis.call('INCR', tag .. 'version')
    local notice = struct.pack('>BBI8I2', LAYOUT, kind, version, #user) .. user .. info
    redis.call(PUBLISH, tag .. name, notice)
    return version
end

local function enter_channel(holder, name, subscriptions, wants, is_quiet)
    local of, subs = entry('c', name, ''), tag .. 'subs:' .. name
    hold(holder, of, wants)
    local is_first = redis.call('EXISTS', subs) == 0
    redis.call('HSET', subs, holder, subscriptions)
    if is_first then
        redis.call('SADD', tag .. 'channels:' .. app_of(name), channel_of(name))
        arrived(of, wants, is_quiet)
    end
end

local function leave_channel(holder, name, of, wants)
    local subs = tag .. 'subs:' .. name
    redis.call('HDEL', subs, holder)
    if redis.call('EXISTS', subs) == 0 then
        redis.call('SREM', tag .. 'channels:' .. app_of(name), channel_of(name))
        departed(of, wants)
    end
end

-- Whether it was the member's first connection anywhere.
local function join_member(holder, name, user, info, wants, is_quiet)
    local of, nodes = entry('m', name, user), tag .. 'nodes:' .. name
    if not hold(holder, of, wants) or redis.call('HINCRBY', nodes, user, 1) > 1 then
        return false
    end
    redis.call('HSET', tag .. 'members:' .. name, user, info)
    redis.call('SET', tag .. 'last:' .. name, string.format('%.0f', notify(JOINED, name, user, info)))
    arrived(of, wants, is_quiet)
    return true
end

local function part_member(name, user, of, wants)
    local nodes, last = tag .. 'nodes:' .. name, tag .. 'last:' .. name
    if redis.call('HINCRBY', nodes, user, -1) > 0 then
        return
    end
    redis.call('HDEL', nodes, user)
    redis.call('HDEL', tag .. 'members:' .. name, user)
    local version = notify(LEFT, name, user, '')
    if redis.call('EXISTS', nodes) == 1 then
        redis.call('SET', last, string.format('%.0f', version))
    else
        redis.call('DEL', last)
    end
    departed(of, wants)
end

-- A user's `name` is that of the channel which tells watchers of the user.
local function sign_in_user(holder, name, user)
    local is_new = hold(holder, entry('u', name, user), 0)
    if is_new and redis.call('HINCRBY', tag .. 'online:' .. app_of(name), user, 1) == 1 then
        notify(ONLINE, name, user, '')
    end
end

local function sign_out_user(name, user)
    local online = tag .. 'online:' .. app_of(name)
    if redis.call('HINCRBY', online, user, -1) <= 0 then
        redis.call('HDEL', online, user)
        notify(OFFLINE, name, user, '')
    end
end

-- Takes back one entry of a holder, as its node would have done.
local function undo(holder, of)
    local wants = let_go(holder, of)
    if not wants then
        return
    end
    local kind, name, user = parts(of)
    if kind == 'c' then
        leave_channel(holder, name, of, wants)
    elseif kind == 'm' then
        part_member(name, user, of, wants)
    elseif kind == 'u' then
        sign_out_user(name, user)
    else
        redis.call('HDEL', tag .. 'quota:' .. app_of(name), holder)
    end
end

-- Takes from a former holder what stands under its successor now: in the same step, so that nothing counts twice.
local function supersede(former, of)
    if former ~= '' then
        undo(former, of)
    end
end

-- What writing scripts answer first.
local LOST, DONE, REFUSED = 0, 1, 2
