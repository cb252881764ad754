-- salvage: puts back jobs that a process of Ruby's was last seen running.
--
-- KEYS  1 mirror, 2 mirrors, 3 queues, 4 schedule, 5 dead; the keys of depart.lua; then
--       each queue
-- ARGV  1 id, 2 1 if its end was witnessed, 3 stop report or "", 4 how many runs are
--       settled, and for each: slot, text; then for each job: slot, text, number and name
--       of its queue, payload, place, delay in µs
-- gives how many jobs it moved, and 1 if that was the last to be done
redis.call('HDEL', KEYS[1], '') -- a write that grows nothing comes first, as in held.lua

local base, id = 5, ARGV[1]
local function queue(n) return KEYS[base + 10 + n] end
local sets = { [1] = KEYS[4], [4] = KEYS[5] } -- by the numbers of places in Go

-- A key that holds something else shall end the script before a job is taken.
redis.call('SCARD', KEYS[3])
redis.call('ZCARD', KEYS[4])
redis.call('ZCARD', KEYS[5])
for n = 1, #KEYS - base - 10 do redis.call('LLEN', queue(n)) end

-- take tells whether a run was still to be put back. The process may come back and name
-- it again.
local function take(slot, text)
  if redis.call('HGET', KEYS[1], 'w:' .. slot) ~= text then return false end
  redis.call('HDEL', KEYS[1], 'w:' .. slot)
  redis.call('HSET', KEYS[1], 'x:' .. slot, text)
  return true
end

local first = 5 + 2 * ARGV[4]
for at = 5, first - 1, 2 do take(ARGV[at], ARGV[at + 1]) end
if ARGV[2] ~= '1' and redis.call('EXISTS', KEYS[base + 5]) == 1 then return { 0, 0 } end

local t = redis.call('TIME')
local moved = 0
for at = #ARGV - 6, first, -7 do -- the last goes to the front first
  if take(ARGV[at], ARGV[at + 1]) then
    local payload, place = ARGV[at + 4], tonumber(ARGV[at + 5])
    if place == 0 then
      redis.call('RPUSH', queue(ARGV[at + 2]), payload)
      redis.call('SADD', KEYS[3], ARGV[at + 3])
    else
      while redis.call('ZSCORE', sets[place], payload) do payload = payload .. '\t \t' end -- as in held.lua
      redis.call('ZADD', sets[place], string.format('%.6f', t[1] + (t[2] + ARGV[at + 6]) / 1000000), payload)
    end
    moved = moved + 1
  end
end
if moved > 0 then redis.call('HSET', KEYS[1], 'put', 1) end

for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  if string.sub(field, 1, 2) == 'w:' then return { moved, 0 } end
end
local last = redis.call('ZREM', KEYS[2], id)
if last == 1 then depart(base, id, true, ARGV[3]) end
return { moved, last }
