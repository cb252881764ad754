-- shelve: moves held jobs into a set, for Retry and Bury.
--
-- KEYS, ARGV as in held.lua; then for each job: queue, field, payload or "" to
-- keep it, queue where it runs next, place, delay in µs, 1 if the run failed, 1 if
-- the payload does not tell its queue
-- gives "ok" and the numbers of those not held, or "stale"
local again = answered()
if again then return again end
local missing, now = {}, micros()
for at = first, #ARGV, 8 do
  local q, field, place = tonumber(ARGV[at]), ARGV[at + 1], tonumber(ARGV[at + 4])
  local payload = lift(q, field, ARGV[at + 2])
  if payload then
    count(q, place == 4 and 'buried' or 'retried')
    put(q, ARGV[at + 3], place, score(now + ARGV[at + 5]), payload, false, ARGV[at + 7] == '1', held(q) .. field)
    if ARGV[at + 6] == '1' then -- a run that ended, beside those that are done or discarded
      count(q, 'ended')
      count(q, 'failed')
    end
  else
    missing[#missing + 1] = (at - first) / 8
  end
end
return answer(missing)
