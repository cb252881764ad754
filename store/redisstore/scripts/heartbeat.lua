-- heartbeat: shows a process to people and to Ruby, and gives it its commands.
--
-- KEYS  1 processes; of the process: 2 its record, 3 :work, 4 :workers, 5 -signals,
--       6 commands; then 7 presence, 8 every queue that ebb held from, 9 paused;
--       in a cluster, 10 left of the process
-- ARGV  1 id, 2 number of commands that the last heartbeat gave, and these; then, if
--       there is something new to show: presence, number of queues, their names,
--       number of fields of the record, and these with their values, then the busy
--       slots with what runs there
-- gives Ruby's signals, the commands, and the paused queues; nothing if it has left
redis.call('EXPIRE', KEYS[2], 60) -- a write that grows nothing comes first, as in held.lua
if KEYS[10] and redis.call('EXISTS', KEYS[10]) == 1 then return {} end
local at = 3
for i = 1, tonumber(ARGV[2]) do
  redis.call('LREM', KEYS[6], 1, ARGV[at])
  at = at + 1
end
if ARGV[at] then
  redis.call('HSET', KEYS[7], ARGV[1], ARGV[at])
  local queues = tonumber(ARGV[at + 1])
  if queues > 0 then redis.call('SADD', KEYS[8], unpack(ARGV, at + 2, at + 1 + queues)) end
  at = at + 2 + queues
  local fields = 2 * ARGV[at]
  redis.call('SADD', KEYS[1], ARGV[1])
  redis.call('HSET', KEYS[2], unpack(ARGV, at + 1, at + fields))
  redis.call('EXPIRE', KEYS[2], 60)
  redis.call('DEL', KEYS[3], KEYS[4])
  -- Ruby 6.4.1 and older read :workers, newer ones :work.
  if ARGV[at + fields + 1] then
    for _, work in ipairs({ KEYS[3], KEYS[4] }) do
      redis.call('HSET', work, unpack(ARGV, at + fields + 1))
      redis.call('EXPIRE', work, 60)
    end
  end
end
return {
  redis.call('RPOP', KEYS[5], 10) or {},
  redis.call('LRANGE', KEYS[6], 0, 99),
  redis.call('SMEMBERS', KEYS[9]),
}
