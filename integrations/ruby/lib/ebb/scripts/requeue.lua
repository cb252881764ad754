-- requeue: puts held jobs back at the front of their queues, the first foremost.
--
-- KEYS, ARGV as in held.lua; then for each job: queue, field, payload or "" to
-- keep it, queue where it runs next
-- gives "ok" and the numbers of those not held, or "stale"
local again = answered()
if again then return again end
local missing = {}
for at = #ARGV - 3, first, -4 do
  local q, field = tonumber(ARGV[at]), ARGV[at + 1]
  local payload = lift(q, field, ARGV[at + 2])
  if payload then
    count(q, 'requeued')
    -- Letters are delivered in the order of their names, so the last comes first.
    put(q, ARGV[at + 3], 0, '0', payload, false, false, string.format('%06d', #ARGV - at) .. held(q) .. field)
  else
    missing[#missing + 1] = (at - first) / 4
  end
end
return answer(missing)
