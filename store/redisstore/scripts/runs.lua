-- runs: counts in Sidekiq's job metrics how runs of a process have ended.
--
-- KEYS  1 last: what is remembered of the process; 2 the minute as Sidekiq 7 keeps it,
--       3 as 8 does, 4 the ten minutes of 8; then histograms, and
--       2 keys for each kind whose runs have not all failed: of 7, of 8
-- ARGV  1 number of the report, 2 number of fields, and these with what is added to
--       each; then for each kind of the histograms: number of words, and these, as
--       BITFIELD takes them
-- gives 1, or 0 if the report was counted before
local last = redis.call('HGET', KEYS[1], 'runs')
if last and ARGV[1] <= last then return 0 end
-- A full server refuses this write, and so all of them: its rest is for jobs.
redis.call('HSET', KEYS[1], 'runs', ARGV[1])
if redis.call('PTTL', KEYS[1]) < 0 then redis.call('PEXPIRE', KEYS[1], 3600000) end

local at = 3
for _ = 1, tonumber(ARGV[2]) do
  for hash = 2, 4 do redis.call('HINCRBY', KEYS[hash], ARGV[at], ARGV[at + 1]) end
  at = at + 2
end
for key = 5, #KEYS, 2 do
  local words = tonumber(ARGV[at])
  for histogram = key, key + 1 do
    redis.call('BITFIELD', KEYS[histogram], 'OVERFLOW', 'SAT', unpack(ARGV, at + 1, at + words))
    redis.call('EXPIRE', KEYS[histogram], 28800)
  end
  at = at + 1 + words
end
redis.call('EXPIRE', KEYS[2], 28800)
redis.call('EXPIRE', KEYS[3], 28800)
redis.call('EXPIRE', KEYS[4], 259200)
return 1
