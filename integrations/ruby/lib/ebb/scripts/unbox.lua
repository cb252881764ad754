-- unbox: empties an inbox back into the front of its queue, in order. Ruby does not
-- look into inboxes. Harmless at any time: whoever waits on the queue is woken.
--
-- KEYS  1 inbox, 2 queue
-- gives how many moved
redis.call('PERSIST', KEYS[1]) -- a write that grows nothing comes first, as in held.lua
local moved = 0
while moved < 1000 and redis.call('LMOVE', KEYS[1], KEYS[2], 'LEFT', 'RIGHT') do moved = moved + 1 end
return moved
