-- suspect: shortens a lease, if it is longer.
--
-- KEYS  1 holders
-- ARGV  1 id, 2 ms
-- gives 1 if it was
redis.call('PERSIST', KEYS[1]) -- a write that grows nothing comes first, as in held.lua
local t = redis.call('TIME')
return redis.call('ZADD', KEYS[1], 'XX', 'LT', 'CH', math.floor(t[1] * 1000 + t[2] / 1000) + ARGV[2], ARGV[1])
