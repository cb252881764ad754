-- Prelude of leave, rescue and farewell: what the fleet knows of a process.
--
-- KEYS  from base + 1 on: stops, stop, presence, processes, and of the process:
--       its record, its :work, :workers, -signals and its commands; then doorbells
local month = 2592000

-- depart takes a process out of everybody's sight, and keeps a part of its stop
-- report. One that still holds deaf jobs stays in presence for its rescuer.
local function depart(base, id, gone, part)
  redis.call('SREM', KEYS[base + 4], id)
  redis.call('DEL', unpack(KEYS, base + 5, base + 9))
  if gone then redis.call('HDEL', KEYS[base + 3], id) end
  redis.call('ZREMRANGEBYLEX', KEYS[base + 10], '[' .. id .. ' ', '(' .. id .. '!') -- see neighbours.lua
  if part == '' or redis.call('LPOS', KEYS[base + 2], part) then return end
  local t = redis.call('TIME')
  redis.call('RPUSH', KEYS[base + 2], part)
  redis.call('LTRIM', KEYS[base + 2], -100, -1)
  redis.call('EXPIRE', KEYS[base + 2], month)
  redis.call('ZADD', KEYS[base + 1], string.format('%.6f', t[1] + t[2] / 1000000), id)
  redis.call('ZREMRANGEBYSCORE', KEYS[base + 1], '-inf', t[1] - month)
  redis.call('ZREMRANGEBYRANK', KEYS[base + 1], 0, -1001)
end
