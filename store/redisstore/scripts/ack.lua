-- ack: forgets held jobs.
--
-- KEYS, ARGV as in held.lua; then for each job: queue, field, outcome in the
-- books, 1 if the run ended, 1 if it failed
-- gives "ok" and the numbers of those not held, or "stale"
local again = answered()
if again then return again end
local missing = {}
for at = first, #ARGV, 5 do
  local q = tonumber(ARGV[at])
  if redis.call('HDEL', held(q), ARGV[at + 1]) == 1 then
    count(q, ARGV[at + 2])
    ran(ARGV[at + 3] == '1', ARGV[at + 4] == '1')
  else
    missing[#missing + 1] = (at - first) / 5
  end
end
return answer(missing)
