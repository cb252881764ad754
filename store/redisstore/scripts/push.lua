-- push: puts jobs at the back of their queues, each call once. It runs for every job
-- that comes, and so is lean.
--
-- KEYS  1 last: what is remembered of the producer
--       then for each queue: queue, books; then `queues`, if it is in this slot
-- ARGV  1 number of queues, then their names, then for each call: field of its lane,
--       seq ("" if nobody remembers it), number of jobs, and for each job: queue,
--       payload
-- gives for each call "stored", "repeated", "stale" or what is wrong with its queue
local queues = tonumber(ARGV[1])
local names, at = KEYS[2 + 2 * queues], queues + 2
if names then redis.call('SADD', names, unpack(ARGV, 2, queues + 1)) end
local reply, accepted, numbered = {}, {}, false
while ARGV[at] do
  local lane, seq, last = ARGV[at], ARGV[at + 1], at + 2 + 2 * ARGV[at + 2]
  local seen = seq ~= '' and redis.call('HGET', KEYS[1], lane)
  local said = 'stored'
  if seen and seq <= seen then
    said = seq == seen and 'repeated' or 'stale'
    numbered = true -- a WAIT behind this call is about what has been written here
  else
    local batches = {}
    for i = at + 3, last, 2 do
      local batch = batches[ARGV[i]]
      if batch then batch[#batch + 1] = ARGV[i + 1] else batches[ARGV[i]] = { ARGV[i + 1] } end
    end
    for q, batch in pairs(batches) do
      local pushed = redis.pcall('LPUSH', KEYS[2 * q], unpack(batch))
      if type(pushed) == 'number' then
        accepted[q] = (accepted[q] or 0) + #batch
      elseif string.find(pushed.err, 'WRONGTYPE', 1, true) then
        said = pushed.err -- no reason to keep the other calls out
      else
        return pushed -- a server that refuses to write does so from the first write on
      end
    end
    if said == 'stored' and seq ~= '' then
      redis.call('HSET', KEYS[1], lane, seq)
      numbered = true
    end
  end
  reply[#reply + 1] = said
  at = last + 1
end
for q, n in pairs(accepted) do redis.call('HINCRBY', KEYS[2 * q + 1], 'accepted', n) end
if numbered then redis.call('PEXPIRE', KEYS[1], 3600000) end
return reply
