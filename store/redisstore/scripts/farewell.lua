-- farewell: the part of leave and rescue that has a slot of its own in a cluster.
--
-- KEYS  as in depart.lua, from 1 on
-- ARGV  1 id, 2 1 if it is forgotten for good, 3 part of its stop report or ""
-- gives 1
redis.call('SREM', KEYS[4], ARGV[1]) -- first a write that frees
depart(0, ARGV[1], ARGV[2] == '1', ARGV[3])
return 1
