-- push: puts jobs at the back of their queues, each call once.
--
-- KEYS  1 last: what is remembered of the producer
--       then for each queue: queue, books; then `queues`, if it is in this slot
-- ARGV  1 number of queues, then their names, then for each call: lane, seq ("" if
--       nobody remembers it), number of jobs, and for each job: queue, payload
-- gives for each call "stored", "repeated", "stale" or what is wrong with its queue
local queues = tonumber(ARGV[1])
local names = KEYS[2 + 2 * queues]
local calls, lanes, at = {}, {}, queues + 2
while ARGV[at] do
  local call = { lane = 's' .. ARGV[at], seq = ARGV[at + 1], first = at + 3, last = at + 2 + 2 * ARGV[at + 2] }
  calls[#calls + 1], lanes[#lanes + 1] = call, call.lane
  at = call.last + 1
end

local seen = {}
for i, seq in ipairs(redis.call('HMGET', KEYS[1], unpack(lanes))) do seen[lanes[i]] = seq or nil end
local batches, memo, reply = {}, {}, {}
for i, call in ipairs(calls) do
  local last = seen[call.lane]
  if call.seq ~= '' and last and call.seq <= last then
    reply[i] = call.seq == last and 'repeated' or 'stale'
  else
    if call.seq ~= '' then seen[call.lane] = call.seq end
    for j = call.first, call.last, 2 do
      local q = tonumber(ARGV[j])
      local batch = batches[q] or {}
      batches[q] = batch
      batch[#batch + 1] = ARGV[j + 1]
    end
  end
end

-- One queue's key may be no list, and that is no reason to keep the others out.
local broken = {}
for q, batch in pairs(batches) do
  local pushed = redis.pcall('LPUSH', KEYS[2 * q], unpack(batch))
  if type(pushed) == 'table' then
    if not string.find(pushed.err, 'WRONGTYPE', 1, true) then return pushed end
    broken[q] = pushed.err
  else
    redis.call('HINCRBY', KEYS[2 * q + 1], 'accepted', #batch)
    if names then redis.call('SADD', names, ARGV[q + 1]) end
  end
end

for i, call in ipairs(calls) do
  if not reply[i] then
    reply[i] = 'stored'
    for j = call.first, call.last, 2 do reply[i] = broken[tonumber(ARGV[j])] or reply[i] end
    if reply[i] == 'stored' and call.seq ~= '' then
      memo[#memo + 1], memo[#memo + 2] = call.lane, call.seq
    end
  end
end
if #memo > 0 then
  redis.call('HSET', KEYS[1], unpack(memo))
  redis.call('PEXPIRE', KEYS[1], 3600000)
end
return reply
