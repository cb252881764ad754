-- series: counts in ebb's own series how runs of a process have ended.
--
-- KEYS  1 last: what is remembered of the process, where the fleet's keys are; the
--       steps in which it reports: 2 moment, 3 day, 4 minute, 5 ten minutes, 6 hour
-- ARGV  1 number of the report, 2 how many names a step tells apart, 3 the name of the
--       others, 4 to 8 when each step is forgotten, in ms; then for each name: name,
--       number of sums, and these with what is added to each. The first name is that
--       of all together, which moment and day have
-- gives 1, or 0 if the report was counted before
local last = redis.call('HGET', KEYS[1], 'series')
if last and ARGV[1] <= last then return 0 end
-- A full server refuses this write, and so all of them: its rest is for jobs.
redis.call('HSET', KEYS[1], 'series', ARGV[1])
if redis.call('PTTL', KEYS[1]) < 3600000 then redis.call('PEXPIRE', KEYS[1], 3600000) end

local limit, others = tonumber(ARGV[2]), ARGV[3]

local function add(key, name, more)
  local was = redis.call('HGET', key, name)
  if not was and redis.call('HLEN', key) >= limit then
    name = others
    was = redis.call('HGET', key, name)
  end
  local sums = was and cmsgpack.unpack(was) or {}
  for sum, n in pairs(more) do sums[sum] = (sums[sum] or 0) + n end
  redis.call('HSET', key, name, cmsgpack.pack(sums))
end

local at, from, to = 9, 2, 3
while ARGV[at] do
  local past, more = at + 2 + 2 * ARGV[at + 1], {}
  for i = at + 2, past - 1, 2 do more[tonumber(ARGV[i])] = tonumber(ARGV[i + 1]) end
  for key = from, to do add(KEYS[key], ARGV[at], more) end
  at, from, to = past, 4, 6
end
for key = 2, 6 do
  if redis.call('PTTL', KEYS[key]) < 0 then redis.call('PEXPIREAT', KEYS[key], ARGV[key + 2]) end
end
return 1
