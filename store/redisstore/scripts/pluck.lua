-- Prelude of move and undo: takes jobs out of queues, wherever they stand.
--
-- KEYS, ARGV as in held.lua
--
-- A job in a list is found by comparing it with others, so what it costs is how far
-- one has to look. Those of one call mostly follow each other: as long as each stands
-- at an end it is popped. Then they are looked for beside the one before, at both
-- ends, and at last everywhere; they are marked where they are, so that the others
-- keep their places, and all marks of a list are removed in one go.

-- A key that holds something else would end the script after jobs were taken. It shall
-- end before.
for q = 1, queues do
  redis.call('LLEN', queue(q))
  redis.call('LLEN', inbox(q))
  redis.call('HLEN', books(q))
end
for _, set in pairs(sets) do redis.call('ZCARD', set) end
redis.call('HLEN', KEYS[6]) -- the outbox
if alone then
  redis.call('SCARD', KEYS[tail + 1])
  redis.call('SCARD', KEYS[tail + 2])
  redis.call('HLEN', KEYS[tail + 3])
end
if KEYS[alone and tail + 4 or tail + 1] then redis.call('LLEN', KEYS[#KEYS]) end -- the undo list

local near, beside, apart = 1000, 100, 1000
local looked, scans = 0, 0

-- tired tells that the script has looked at enough for now.
local function tired() return looked > 50000 or scans > 1 end

local spots = {} -- by list: its length, what was last read of it, marks

-- around reads the list near place at.
local function around(list, spot, at, reach)
  spot.from = math.max(at - reach, 0)
  spot.window = redis.call('LRANGE', list, spot.from, at + reach)
  spot.at = at - spot.from + 1
  looked = looked + #spot.window
end

-- seen gives the place of a job in what was last read, nearest to the one before.
local function seen(spot, member)
  local window, center = spot.window, spot.at
  for d = 0, #window do
    for i = center - d, center + d, math.max(2 * d, 1) do
      if window[i] == member then
        spot.at = i
        return spot.from + i - 1
      end
    end
  end
end

-- find gives the place of a job in a list, from 0, or nil.
local function find(list, spot, member, front)
  local at
  if spot.window then
    at = seen(spot, member)
    if at then return at end
    around(list, spot, spot.from + spot.at - 1, apart)
    at = seen(spot, member)
    if at then return at end
  end
  local here, there = front and -1 or 1, front and 1 or -1
  at = redis.call('LPOS', list, member, 'RANK', here, 'MAXLEN', near)
    or redis.call('LPOS', list, member, 'RANK', there, 'MAXLEN', near)
  looked = looked + math.min(2 * near, spot.len)
  if not at and spot.len > near then
    at = redis.call('LPOS', list, member, 'RANK', here)
    if spot.len > 10 * near then scans = scans + 1 else looked = looked + spot.len end
  end
  if at then around(list, spot, at, beside) end
  return at
end

-- pull takes a job out of a list, or marks it with grave for sweep, or gives false.
-- front says at which end it should be.
local function pull(list, member, front, grave)
  local spot = spots[list] or { len = redis.call('LLEN', list), marks = 0, first = math.huge, last = 0 }
  spots[list] = spot
  if not spot.window then
    local first = redis.call('LINDEX', list, -1) == member
    if first or redis.call('LINDEX', list, 0) == member then
      redis.call(first and 'RPOP' or 'LPOP', list)
      spot.len = spot.len - 1
      return true
    end
  end
  local at = find(list, spot, member, front)
  if not at then return false end
  redis.call('LSET', list, at, grave)
  spot.window[spot.at] = grave
  spot.marks, spot.first, spot.last = spot.marks + 1, math.min(spot.first, at), math.max(spot.last, at)
  return true
end

-- sweep removes what was marked, from the end that is nearer.
local function sweep(grave)
  for list, spot in pairs(spots) do
    if spot.marks > 0 then
      local from = spot.len - spot.first < spot.last and -1 or 1
      redis.call('LREM', list, from * spot.marks, grave)
    end
  end
end

-- pluck takes a job out of its queue, or out of the inbox, where it may have been
-- carried. From the middle of the queue it is gone after sweep.
local function pluck(q, member, front, grave)
  return pull(queue(q), member, front, grave) or redis.call('LREM', inbox(q), -1, member) == 1
end

