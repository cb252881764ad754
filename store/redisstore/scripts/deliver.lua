-- deliver: accepts a job from the outbox of another slot, once.
--
-- KEYS  1 memo of this delivery, 2 schedule, 3 retry, 4 dead, 5 queue, 6 books
-- ARGV  1 place, 2 b for the back of the queue, 3 due, 4 payload
-- gives 1 if it was new
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
local place, payload = tonumber(ARGV[1]), ARGV[4]
redis.call('PERSIST', KEYS[5]) -- a write that grows nothing comes first, as in held.lua
if place == 0 then
  redis.call(ARGV[2] == 'b' and 'LPUSH' or 'RPUSH', KEYS[5], payload)
else
  local set = KEYS[place == 4 and 4 or place + 1]
  while redis.call('ZSCORE', set, payload) do payload = payload .. '\t \t' end
  redis.call('ZADD', set, ARGV[3], payload)
  redis.call('HINCRBY', KEYS[6], ({ 'scheduled', 'retrying', '', 'dead' })[place], 1)
end
redis.call('HINCRBY', KEYS[6], 'accepted', 1)
redis.call('SET', KEYS[1], '1', 'PX', 3600000)
return 1
