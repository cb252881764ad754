-- move: takes jobs that nobody holds from where they are, for Promote, Move, Delete
-- and the trimming of the dead set.
--
-- KEYS, ARGV as in held.lua; then a nonce, and for each job: queue, place, member, 1 if its
-- queue is kept in strays; then where it goes: queue, place or the name of a count
-- in the books if it is forgotten, delay in µs, 1 for the back of a queue, payload,
-- 1 if that does not tell its queue
-- gives how many were still there
local moved, now = 0, micros()
for at = first + 1, #ARGV, 10 do
  local q, from, member = tonumber(ARGV[at]), tonumber(ARGV[at + 1]), ARGV[at + 2]
  local found
  if from == 0 then
    found = redis.call('LREM', queue(q), -1, member)
    if found == 0 then found = redis.call('LREM', inbox(q), -1, member) end
  else
    found = redis.call('ZREM', sets[from], member)
  end
  if found == 1 then
    moved = moved + 1
    if from ~= 0 then count(q, shelves[from], -1) end
    if alone and ARGV[at + 3] == '1' then redis.call('HDEL', KEYS[tail + 3], member) end
    local place = tonumber(ARGV[at + 5])
    if place then
      put(q, ARGV[at + 4], place, score(now + ARGV[at + 6]), ARGV[at + 8], ARGV[at + 7] == '1', ARGV[at + 9] == '1', ARGV[first] .. at)
    else
      count(q, ARGV[at + 5])
    end
  end
end
settle()
return moved
