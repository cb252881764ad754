-- checkpoint: writes new payloads of jobs that stay held.
--
-- KEYS, ARGV as in held.lua; then for each job: queue, field, payload or "" to
-- keep it
-- gives "ok" and the numbers of those not held, or "stale"
local again = answered()
if again then return again end
local missing = {}
for at = first, #ARGV, 3 do
  local q, field, payload = tonumber(ARGV[at]), ARGV[at + 1], ARGV[at + 2]
  if redis.call('HEXISTS', held(q), field) == 0 then
    missing[#missing + 1] = (at - first) / 3
  elseif payload ~= '' then
    redis.call('HSET', held(q), field, payload)
  end
end
return answer(missing)
