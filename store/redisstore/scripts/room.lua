-- Prelude of move where it can be taken back: a write that needs memory comes first,
-- so that a full server refuses the whole script. What undo needs would not fit, and
-- a move for good still gets through.
--
-- KEYS  as in held.lua
redis.call('HINCRBY', KEYS[8], 'deleted', 0) -- the books of the first queue

