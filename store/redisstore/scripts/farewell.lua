-- farewell: the part of leave and rescue that has a slot of its own in a cluster.
--
-- KEYS  as in depart.lua, from 1 on; then left of the process
-- ARGV  1 id, 2 1 if it holds nothing any more, 3 part of its stop report or "",
--       4 1 if it has left and shall not come back
-- gives 1
redis.call('SREM', KEYS[4], ARGV[1]) -- a write that grows nothing comes first, as in held.lua
if ARGV[4] == '1' then redis.call('SET', KEYS[11], '1', 'EX', 86400) end
depart(0, ARGV[1], ARGV[2] == '1', ARGV[3])
return 1
