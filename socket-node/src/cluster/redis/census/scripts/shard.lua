-- What every script begins with: where this shard's keys are, and what time it is.
--
-- KEYS[1] is '<tag>leases'. Every other key, and every topic, begins with the same tag, so that all of them are in
-- one slot of a cluster. A `name` is that of a channel of an app, '<app>:<channel>', where the app's id holds no colon.

local tag = string.sub(KEYS[1], 1, -7)

-- Redis's own clock: nodes need not agree on the time.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
-- Fine enough to tell apart what one node hands in at once, and still a whole number for a sorted set.
local now_us = clock[1] * 1000000 + clock[2]

local function app_of(name)
    return string.sub(name, 1, string.find(name, ':', 1, true) - 1)
end

local function channel_of(name)
    return string.sub(name, string.find(name, ':', 1, true) + 1)
end

local function subscriptions_of(name)
    local sum = 0
    for _, subscriptions in ipairs(redis.call('HVALS', tag .. 'subs:' .. name)) do
        sum = sum + subscriptions
    end
    return sum
end

-- What the roster of a channel is as of. Without members it is anything below the next transition's version.
local function version_of(name)
    return tonumber(redis.call('GET', tag .. 'last:' .. name) or redis.call('GET', tag .. 'version') or 0)
end
