-- due: reads what there is to promote and to trim.
--
-- KEYS  1 schedule, 2 retry, 3 dead
-- ARGV  1 most jobs to read of each, 2 most that the dead set keeps, 3 for how many
--       seconds
-- gives the time in µs, µs until the next job is due or -1, jobs that are due with
-- their scores from schedule and from retry, dead ones that must go, and 1 if that is
-- for their age
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local at, most = string.format('%.6f', now / 1000000), tonumber(ARGV[1])
local reply, next = { string.format('%d', now), -1 }, -1
for i = 1, 2 do
  local due = redis.call('ZRANGEBYSCORE', KEYS[i], '-inf', at, 'WITHSCORES', 'LIMIT', 0, most)
  reply[2 + i] = due
  local wait
  if #due == 2 * most then
    wait = 0
  else
    local later = redis.call('ZRANGEBYSCORE', KEYS[i], '(' .. at, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
    wait = later[2] and math.max(0, math.ceil(later[2] * 1000000 - now))
  end
  if wait and (next < 0 or wait < next) then next = wait end
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
