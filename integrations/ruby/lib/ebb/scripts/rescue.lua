-- rescue: takes jobs from a process that is gone.
--
-- KEYS, ARGV as in held.lua, with every queue that it may hold from; then the keys
-- of depart.lua where one server keeps everything
--       then 1 id, 2 the end of its lease as it was seen, 3 1 if its end was
--       witnessed, 4 stop report or "", 5 1 to forget the process if it holds
--       nothing any more, and for each job: queue, field, payload as it was seen,
--       payload to go on with or "" to keep it, place, delay in µs, 1 if the payload
--       does not tell its queue
-- gives how many moved, 1 if the process was forgotten, and 1 if it may be
local id, seen, witnessed, report = ARGV[first], tonumber(ARGV[first + 1]), ARGV[first + 2] == '1', ARGV[first + 3]
local lease = tonumber(redis.call('ZSCORE', KEYS[2], id) or nil)
local now = micros()
if not lease then return { 0, 0, 1 } end
if not witnessed and (lease ~= seen or lease * 1000 > now) then return { 0, 0, 0 } end

local moved = 0
for at = #ARGV - 6, first + 5, -7 do -- the last goes to the front first
  local q, field = tonumber(ARGV[at]), ARGV[at + 1]
  if redis.call('HGET', held(q), field) == ARGV[at + 2] then
    local payload = lift(q, field, ARGV[at + 3])
    count(q, 'rescued')
    put(q, q, tonumber(ARGV[at + 4]), score(now + ARGV[at + 5]), payload, false, ARGV[at + 6] == '1', '')
    moved = moved + 1
  end
end
settle()

local holds = 0
for q = 1, queues do holds = holds + redis.call('HLEN', held(q)) end
local forgotten = 0
if holds == 0 and ARGV[first + 4] == '1' then forgotten = redis.call('ZREM', KEYS[2], id) end
if alone and (moved > 0 or forgotten == 1) then depart(tail + 3, id, forgotten == 1, report) end
return { moved, forgotten, holds == 0 and 1 or 0 }
