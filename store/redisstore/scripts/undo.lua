-- undo: takes back what move did under one change, the last first.
--
-- KEYS, ARGV as in held.lua, the undo list at the end; then 1 a nonce, 2 how many jobs
-- at most, 3 since when, in µs: what is older is left for another slot's turn
-- gives how many jobs are where they were, how many had moved on, and the names of
-- queues that the next one needs and that are not among the keys
--
-- An element of the list is: queue, place, score or "", member, 1 if it was in strays;
-- where it went: queue, place or the name of a count, score, "=" for the same member
-- or "+" and another one, 1 if it was put into strays, 1 for the back of a queue; and
-- when, in µs.
local nonce, most, since = ARGV[first], tonumber(ARGV[first + 1]), tonumber(ARGV[first + 2])
local undo, width = KEYS[#KEYS], 12
local enough = 1048576 -- bytes

local numbers = {}
for q = 1, queues do numbers[name(q)] = q end

-- taken tells whether a job is still where it was put, and takes it from there.
local function taken(r, here, place, member)
  if not place then return true end
  if place == 0 then return pluck(here, member, r[11] == '0', nonce) end
  local due = redis.call('ZSCORE', sets[place], member)
  if not due or tonumber(due) ~= tonumber(r[8]) then return false end
  redis.call('ZREM', sets[place], member)
  if alone and r[10] == '1' then redis.call('HDEL', KEYS[tail + 3], member) end
  return true
end

-- First they are all taken, so that where they stand does not change meanwhile. One
-- that an earlier step of this change had moved before must wait for its return.
local back, steps, bytes, wanted, returning = {}, 0, 0, {}, {}
while steps < most and bytes < enough and not tired() do
  local r = redis.call('LRANGE', undo, -width * (steps + 1), -width * steps - 1)
  if #r < width or tonumber(r[12]) < since then break end
  local home, here, place = numbers[r[1]], numbers[r[6]], tonumber(r[7])
  if alone and not home then wanted[#wanted + 1] = r[1] end
  if not here then wanted[#wanted + 1] = r[6] end
  local member = r[9] == '=' and r[4] or string.sub(r[9], 2)
  if #wanted > 0 or returning[r[7] .. r[6] .. member] then break end
  steps, bytes = steps + 1, bytes + #r[4] + #r[9]
  if taken(r, here, place, member) then
    back[#back + 1] = r
    returning[r[2] .. r[1] .. r[4]] = true
    if place then
      if place ~= 0 then count(here, shelves[place], -1) end
    else
      count(here, r[7], -1)
    end
    if r[1] ~= r[6] then count(here, 'accepted', -1) end
  end
end
redis.call('LTRIM', undo, 0, -width * steps - 1)
sweep(nonce)

for i, r in ipairs(back) do
  local home, place, member = numbers[r[1]], tonumber(r[2]), r[4]
  if home then
    put(home, home, place, r[3], member, false, r[5] == '1')
    if r[1] ~= r[6] then count(home, 'moved', -1) end
  else
    local head = place .. ' u ' .. (place == 0 and '0' or r[3]) .. ' ' .. #r[1] .. ' '
    redis.call('HSET', KEYS[6], nonce .. string.format('%06d', i), head .. r[1] .. member)
  end
end
settle()
return { #back, steps - #back, wanted }
