-- reserve: puts jobs that are due soon out of the sight of Ruby's schedulers, which go by
-- their scores.
--
-- KEYS  1 schedule, 2 retry, 3 and 4 their reservations
-- ARGV  1 how soon, 2 by how much jobs are put off, both in µs, 3 most to reserve of
--       each, 4 most that are reserved
-- gives 1 if there may be more
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local soon, most, full = string.format('%.6f', (now + ARGV[1]) / 1000000), tonumber(ARGV[3]), 0
for i = 1, 2 do
  local set, reserved = KEYS[i], KEYS[2 + i]
  local room = math.min(most, ARGV[4] - redis.call('ZCARD', reserved))
  local jobs = room > 0 and redis.call('ZRANGEBYSCORE', set, '-inf', soon, 'WITHSCORES', 'LIMIT', 0, room) or {}
  if jobs[1] then
    local scores = {}
    for n = 1, #jobs, 2 do
      -- Those that are overdue keep their order, a microsecond apart.
      local due = math.max(jobs[n + 1] * 1000000, now + n / 2)
      scores[n], scores[n + 1] = string.format('%.17g', (due + ARGV[2]) / 1000000), jobs[n]
    end
    -- This write comes first and needs memory: a full server reserves nothing.
    if type(redis.pcall('ZADD', reserved, unpack(scores))) == 'table' then return 0 end
    redis.call('PEXPIRE', reserved, 60000)
    redis.call('ZADD', set, unpack(scores))
    if #jobs == 2 * most then full = 1 end
  end
end
return full
