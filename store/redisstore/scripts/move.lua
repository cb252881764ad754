-- move: takes jobs that nobody holds from where they are, for Promote, Move, Delete
-- and the trimming of the dead set.
--
-- KEYS, ARGV as in held.lua; then 1 a nonce, 2 for how many ms undo may take this
-- back, or 0, 3 the change; and for each job: queue, place, member, 1 if its queue is
-- kept in strays; then where it goes: queue, place or the name of a count in the books
-- if it is forgotten, score or "", delay in µs where there is no score, 1 for the back
-- of a queue, payload, 1 if that does not tell its queue
-- gives how many were still there, and of how many jobs it has seen to: the others
-- must come again
local nonce, lasting, change = ARGV[first], tonumber(ARGV[first + 1]), ARGV[first + 2]
local undo, width, now = KEYS[#KEYS], 11, micros()

-- First they are all taken, so that where they stand does not change meanwhile.
local found, last = {}, 0
for at = first + 3, #ARGV, width do
  local q, from, member = tonumber(ARGV[at]), tonumber(ARGV[at + 1]), ARGV[at + 2]
  if from == 0 then
    if pluck(q, member, true, nonce) then found[at] = '' end
  else
    local score = redis.call('ZSCORE', sets[from], member)
    if score then
      redis.call('ZREM', sets[from], member)
      found[at] = score
    end
  end
  last = at
  if tired() then break end
end
sweep(nonce)

-- remember writes an element of the undo list for a job of argument at. A delete is
-- kept under the queue that it counts for.
local function remember(at, place, due, payload)
  local q, member = tonumber(ARGV[at]), ARGV[at + 2]
  redis.call('RPUSH', undo, name(q), ARGV[at + 1], found[at], member, ARGV[at + 3],
    name(tonumber(ARGV[at + 4]) or q), place, due, payload == member and '=' or '+' .. payload, ARGV[at + 10],
    ARGV[at + 8], now)
end

-- origin is what remember would write, for the outbox.
local function origin(at)
  if lasting == 0 then return nil end
  local member = ARGV[at + 2]
  local sizes = { '', #change, #member, ARGV[at + 1], found[at], lasting }
  return { sizes = table.concat(sizes, '/'), text = change .. member }
end

local moved = 0
for at = first + 3, last, width do
  if found[at] then
    local q, from, place = tonumber(ARGV[at]), tonumber(ARGV[at + 1]), tonumber(ARGV[at + 5])
    moved = moved + 1
    if from ~= 0 then count(q, shelves[from], -1) end
    if alone and ARGV[at + 3] == '1' then redis.call('HDEL', KEYS[tail + 3], ARGV[at + 2]) end
    if place then
      local due = ARGV[at + 6] ~= '' and ARGV[at + 6] or score(now + ARGV[at + 7])
      local letter = nonce .. string.format('%06d', at)
      local payload = put(q, ARGV[at + 4], place, due, ARGV[at + 9], ARGV[at + 8] == '1', ARGV[at + 10] == '1', letter, origin(at))
      if lasting > 0 and payload then remember(at, place, due, payload) end
    else
      count(q, ARGV[at + 5])
      if lasting > 0 then remember(at, ARGV[at + 5], '', '') end
    end
  end
end
if lasting > 0 then redis.call('PEXPIRE', undo, lasting) end
settle()
return { moved, (last - first - 3) / width + 1 }
