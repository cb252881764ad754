-- ended: remembers jobs that have left the store, for people.
--
-- KEYS  1 last: what is remembered of the process, where the fleet's keys are, 2 the
--       list of such jobs
-- ARGV  1 how many are remembered; then for each, the oldest first: number, text
-- gives 1
local last = redis.call('HGET', KEYS[1], 'ended') or ''
if ARGV[#ARGV - 1] <= last then return 1 end
-- A full server refuses this write, and so all of them: its rest is for jobs.
redis.call('HSET', KEYS[1], 'ended', ARGV[#ARGV - 1])
if redis.call('PTTL', KEYS[1]) < 3600000 then redis.call('PEXPIRE', KEYS[1], 3600000) end
for at = 2, #ARGV, 2 do
  if ARGV[at] > last then redis.call('LPUSH', KEYS[2], ARGV[at + 1]) end
end
redis.call('LTRIM', KEYS[2], 0, ARGV[1] - 1)
return 1
