-- audit: registers a holder that has no lease, for as long as a living one needs to
-- beat.
--
-- KEYS  1 last: what is remembered of the holder, 2 holders, then held of each queue
--       that it was seen to hold from
-- ARGV  1 id, 2 ttl in ms
-- gives 1 if it was registered
redis.call('PEXPIRE', KEYS[1], 86400000) -- a write that grows nothing comes first, as in held.lua
if redis.call('ZSCORE', KEYS[2], ARGV[1]) then return 0 end
local holds = 0
for i = 3, #KEYS do holds = holds + redis.call('HLEN', KEYS[i]) end
if holds == 0 then return 0 end
local t = redis.call('TIME')
local ends = string.format('%d', math.floor(t[1] * 1000 + t[2] / 1000) + ARGV[2])
redis.call('ZADD', KEYS[2], ends, ARGV[1])
-- A lease that ends at another moment is its own again.
redis.call('HSET', KEYS[1], 'unclaimed', ends)
redis.call('PEXPIRE', KEYS[1], 86400000)
return 1
