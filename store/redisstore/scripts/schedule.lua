-- schedule: puts jobs into the scheduled set, each call once.
--
-- KEYS  1 last: what is remembered of the producer, 2 schedule
--       then the books of each queue; then ebb:queues and strays, if they are in this
--       slot
-- ARGV  1 number of queues, then their names, then for each call: field of its lane,
--       seq ("" if nobody remembers it), number of jobs, and for each job: queue,
--       score or "", delay in µs where there is no score, payload, 1 if that does not
--       tell its queue
-- gives for each call "stored", "repeated" or "stale"
local queues = tonumber(ARGV[1])
local known, strays = KEYS[3 + queues], KEYS[4 + queues]
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
if known then redis.call('SADD', known, unpack(ARGV, 2, queues + 1)) end
local reply, at = {}, queues + 2
while ARGV[at] do
  local lane, seq, first = ARGV[at], ARGV[at + 1], at + 3
  local last = first - 1 + 5 * ARGV[at + 2]
  local seen = seq ~= '' and redis.call('HGET', KEYS[1], lane)
  if seen and seq <= seen then
    reply[#reply + 1] = seq == seen and 'repeated' or 'stale'
    redis.call('PEXPIRE', KEYS[1], 3600000) -- see push.lua
  else
    for i = first, last, 5 do
      local q, due, payload = tonumber(ARGV[i]), ARGV[i + 1], ARGV[i + 3]
      if due == '' then due = string.format('%.6f', (now + ARGV[i + 2]) / 1000000) end
      -- See held.lua: jobs of the same bytes stay apart.
      while redis.call('ZSCORE', KEYS[2], payload) do payload = payload .. '\t \t' end
      redis.call('ZADD', KEYS[2], due, payload)
      if strays and ARGV[i + 4] == '1' then redis.call('HSET', strays, payload, ARGV[1 + q]) end
      redis.call('HINCRBY', KEYS[2 + q], 'accepted', 1)
      redis.call('HINCRBY', KEYS[2 + q], 'scheduled', 1)
    end
    if seq ~= '' then
      redis.call('HSET', KEYS[1], lane, seq)
      redis.call('PEXPIRE', KEYS[1], 3600000)
    end
    reply[#reply + 1] = 'stored'
  end
  at = last + 1
end
return reply
