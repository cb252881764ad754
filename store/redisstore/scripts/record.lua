-- record: keeps what is said of a change by hand, in place of what was said before.
--
-- KEYS  1 texts of changes, 2 when they began, 3 when they were recorded
-- ARGV  1 id, 2 when it began, in µs, 3 text, 4 for how many seconds it is kept, 5 how
--       many are
-- gives 1
redis.call('ZREM', KEYS[2], ARGV[1]) -- a write that grows nothing comes first, as in held.lua
local t = redis.call('TIME')
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
redis.call('ZADD', KEYS[2], ARGV[2], ARGV[1])
redis.call('ZADD', KEYS[3], t[1], ARGV[1])
local gone = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', '(' .. t[1] - ARGV[4], 'LIMIT', 0, 100)
local over = redis.call('ZCARD', KEYS[2]) - ARGV[5]
if over > 0 then gone = redis.call('ZRANGE', KEYS[2], 0, over - 1) end
for _, id in ipairs(gone) do
  redis.call('HDEL', KEYS[1], id)
  redis.call('ZREM', KEYS[2], id)
  redis.call('ZREM', KEYS[3], id)
end
for i = 1, 3 do redis.call('EXPIRE', KEYS[i], ARGV[4]) end
return 1
