-- Prelude of the scripts that move jobs: shelve, requeue, checkpoint, leave, rescue
-- and move. All of them share these keys and first arguments.
--
-- KEYS  1 last: what is remembered of the holder
--       2 holders, 3 schedule, 4 retry, 5 dead, 6 outbox
--       then for each queue: held, books, queue, inbox
--       then, where one server keeps everything: queues, ebb:queues, strays
--       then, for move and undo of what can be taken back: the change's undo list
-- ARGV  1 lane, 2 seq ("" if nobody remembers the call), 3 number of queues,
--       then the name of each queue
--
-- A queue is named by its number among the keys; "@name" is one in another slot,
-- which is reached by way of the outbox.

-- The first write grows nothing. A server that is out of memory refuses a script
-- only at its first write, so that what frees memory always gets through.
redis.call('PEXPIRE', KEYS[1], 3600000)

local lane, seq, queues = ARGV[1], ARGV[2], tonumber(ARGV[3])
local first = 4 + queues
local tail = 6 + 4 * queues
local alone = KEYS[tail + 3] ~= nil

local function held(q) return KEYS[3 + 4 * q] end
local function books(q) return KEYS[4 + 4 * q] end
local function queue(q) return KEYS[5 + 4 * q] end
local function inbox(q) return KEYS[6 + 4 * q] end
local function name(q) return ARGV[3 + q] end

local function micros()
  local t = redis.call('TIME')
  return t[1] * 1000000 + t[2]
end

local function score(us) return string.format('%.6f', us / 1000000) end

-- answered gives the answer to a repeated call, nil to a new one.
local function answered()
  if seq == '' then return nil end
  local memo = redis.call('HMGET', KEYS[1], 's' .. lane, 'r' .. lane)
  if not memo[1] or seq > memo[1] then return nil end
  if seq < memo[1] then return { 'stale', '' } end
  return { 'ok', memo[2] or '' }
end

-- The books are written after the moves that they count, in one go.
local counts = {}
local function count(q, what, n)
  local c = counts[q] or {}
  counts[q] = c
  c[what] = (c[what] or 0) + (n or 1)
end

local function settle()
  for q, c in pairs(counts) do
    for what, n in pairs(c) do redis.call('HINCRBY', books(q), what, n) end
  end
end

-- answer ends a call: it writes the books, and keeps the numbers of the elements
-- whose token was not held for whoever repeats the call.
local function answer(missing)
  settle()
  local text = table.concat(missing, ' ')
  if seq ~= '' then redis.call('HSET', KEYS[1], 's' .. lane, seq, 'r' .. lane, text) end
  return { 'ok', text }
end

-- lift takes a job out of keeping and gives the payload that it goes on with, or
-- nil if field is not held. An empty payload keeps the one that is held.
local function lift(q, field, payload)
  if payload == '' then payload = redis.call('HGET', held(q), field) end
  if redis.call('HDEL', held(q), field) == 0 then return nil end
  return payload
end

-- The places by their numbers in Go; 0 is ready.
local sets = { [1] = KEYS[3], [2] = KEYS[4], [4] = KEYS[5] }
local shelves = { [1] = 'scheduled', [2] = 'retrying', [4] = 'dead' }

-- put sets down a job that was lifted out of queue q. It goes to a set, with that
-- score, or into a queue, at the front unless back. stray says that the payload
-- does not tell its queue. nonce names the job in the outbox; origin is what undo must
-- know of it there. Gives the payload as it was set down, nil if it is in the outbox.
local function put(q, to, place, due, payload, back, stray, nonce, origin)
  local at = tonumber(to)
  if at ~= q then count(q, 'moved') end
  if not at then
    local target = string.sub(to, 2)
    local head = place .. (back and ' b ' or ' f ') .. due .. ' ' .. #target
    if origin then head, target = head .. origin.sizes, target .. origin.text end
    redis.call('HSET', KEYS[6], nonce, head .. ' ' .. target .. payload)
    return nil
  end
  if at ~= q then
    count(at, 'accepted')
    if alone then redis.call('SADD', KEYS[tail + 2], name(at)) end
  end
  if place == 0 then
    redis.call(back and 'LPUSH' or 'RPUSH', queue(at), payload)
    if alone then redis.call('SADD', KEYS[tail + 1], name(at)) end
    return payload
  end
  -- Two jobs of the same bytes would become one member of the set. JSON does not
  -- mind white space at its end, and Go takes it off again.
  while redis.call('ZSCORE', sets[place], payload) do payload = payload .. '\t \t' end
  redis.call('ZADD', sets[place], due, payload)
  if stray and alone then redis.call('HSET', KEYS[tail + 3], payload, name(at)) end
  count(at, shelves[place])
  return payload
end
