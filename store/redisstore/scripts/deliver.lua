-- deliver: accepts a job from the outbox of another slot, once.
--
-- KEYS  1 memo of this delivery, 2 schedule, 3 retry, 4 dead, 5 queue, 6 books, 7 undo
--       list, where the move can be taken back
-- ARGV  1 place, 2 b for the back of the queue, f for its front, u for a job that comes
--       back there, 3 due, 4 payload; then, with an undo list: 5 for how many ms, 6
--       queue, 7 place, 8 score, 9 member as they were, 10 the queue as it is
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
if ARGV[2] == 'u' then
  redis.call('HINCRBY', KEYS[6], 'moved', -1)
else
  redis.call('HINCRBY', KEYS[6], 'accepted', 1)
end
if KEYS[7] then -- an element as in undo.lua
  local t = redis.call('TIME')
  redis.call('RPUSH', KEYS[7], ARGV[6], ARGV[7], ARGV[8], ARGV[9], '0',
    ARGV[10], place, ARGV[3], payload == ARGV[9] and '=' or '+' .. payload, '0',
    ARGV[2] == 'b' and '1' or '0', t[1] * 1000000 + t[2])
  redis.call('PEXPIRE', KEYS[7], ARGV[5])
end
redis.call('SET', KEYS[1], '1', 'PX', 3600000)
return 1
