-- due: reads what there is to promote and to trim.
--
-- KEYS  1 schedule, 2 retry, 3 dead; 4 and 5 the reservations of the first two, where
--       Ruby may be
-- ARGV  1 most jobs to read of each, 2 most that the dead set keeps, 3 for how many
--       seconds, 4 by how many µs what is reserved was put off
-- gives the time in µs, µs until the next job is due or -1, jobs that are due with
-- their scores from schedule and from retry, dead ones that must go, and 1 if that is
-- for their age
local t = redis.call('TIME')
local now, most = t[1] * 1000000 + t[2], tonumber(ARGV[1])
local reply, next = { string.format('%d', now), -1 }, -1

-- look reads what of a set has come at a moment, and until when nothing else does.
local function look(set, micros)
  local at, wait = string.format('%.6f', micros / 1000000), nil
  local due = redis.call('ZRANGEBYSCORE', set, '-inf', at, 'WITHSCORES', 'LIMIT', 0, most)
  if #due == 2 * most then
    wait = 0
  else
    local later = redis.call('ZRANGEBYSCORE', set, '(' .. at, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
    wait = later[2] and math.max(0, math.ceil(later[2] * 1000000 - micros))
  end
  return due, wait
end

local function come(wait)
  if wait and (next < 0 or wait < next) then next = wait end
end

-- booked reads what of the reservations of a set is due. One whose job has another score
-- by now, or is gone, is void.
local function booked(set, reserved)
  while true do
    local kept, wait = look(reserved, now + ARGV[4])
    local due, void = {}, {}
    for n = 1, #kept, 2 do
      if redis.call('ZSCORE', set, kept[n]) == kept[n + 1] then
        due[#due + 1], due[#due + 2] = kept[n], kept[n + 1]
      else
        void[#void + 1] = kept[n]
      end
    end
    if void[1] then redis.call('ZREM', reserved, unpack(void)) end
    if due[1] or not void[1] then return due, wait end
  end
end

for i = 1, 2 do
  local due, wait = look(KEYS[i], now)
  come(wait)
  local reserved = KEYS[3 + i]
  if reserved and redis.call('EXISTS', reserved) == 1 then
    local more
    more, wait = booked(KEYS[i], reserved)
    come(wait)
    for n = 1, #more do due[#due + 1] = more[n] end
  end
  reply[2 + i] = due
end
-- A far-off score does not fit into an integer, and nobody waits that long.
reply[2] = math.min(next, 1000000000)
local over = redis.call('ZCARD', KEYS[3]) - ARGV[2]
if over > 0 then
  reply[5] = redis.call('ZRANGE', KEYS[3], 0, math.min(over, most) - 1)
else
  reply[5] = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', '(' .. string.format('%.6f', now / 1000000 - ARGV[3]), 'LIMIT', 0, most)
end
reply[6] = over > 0 and 0 or 1
return reply
