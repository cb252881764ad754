-- leave: gives back what a process holds, except its deaf jobs, and ends it.
--
-- KEYS, ARGV as in held.lua, with every queue that it may hold from; then the keys
-- of depart.lua where one server keeps everything
--       then 1 id, 2 stop report, 3 number of deaf jobs, and for each: queue, field;
--       then for each job to give back: queue, field, payload or "" to keep it,
--       queue where it runs next
-- gives "ok" and the numbers of those not held, "stale", or "left" if it had left
local again = answered()
if again then return again end
if redis.call('HGET', KEYS[1], 'left') then return { 'left', '' } end

local id, report, deaf = ARGV[first], ARGV[first + 1], tonumber(ARGV[first + 2])
local back = first + 3 + 2 * deaf
local named = {}
for at = first + 3, back - 1, 2 do named[ARGV[at] .. ' ' .. ARGV[at + 1]] = true end
for at = back, #ARGV, 4 do named[ARGV[at] .. ' ' .. ARGV[at + 1]] = true end

local function giveback(q, field, payload, to, turn)
  payload = lift(q, field, payload)
  if not payload then return false end
  count(q, 'requeued')
  put(q, to, 0, '0', payload, false, false, string.format('%06d', turn) .. held(q) .. field) -- as in requeue.lua
  return true
end

-- What was named goes to the very front, so it goes last, and its first at the end.
for q = 1, queues do
  local fields = redis.call('HKEYS', held(q))
  table.sort(fields, function(a, b) return a > b end)
  for _, field in ipairs(fields) do
    if not named[q .. ' ' .. field] then giveback(q, field, '', q, 0) end
  end
end
local missing = {}
for at = #ARGV - 3, back, -4 do
  if not giveback(tonumber(ARGV[at]), ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], #ARGV - at) then
    missing[#missing + 1] = (at - back) / 4
  end
end

local holds = 0
for q = 1, queues do holds = holds + redis.call('HLEN', held(q)) end
if holds > 0 then
  -- Half a second for the process to exit; then whoever lives rescues these.
  redis.call('ZADD', KEYS[2], math.floor(micros() / 1000) + 500, id)
else
  redis.call('ZREM', KEYS[2], id)
end
redis.call('HSET', KEYS[1], 'left', '1')
local reply = answer(missing)
redis.call('PEXPIRE', KEYS[1], 86400000)
if alone then depart(tail + 3, id, holds == 0, report) end
return reply
