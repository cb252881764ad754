-- fetch: moves jobs from their queues into a process's keeping.
--
-- KEYS  1 last: what is remembered of the process, 2 holders
--       then for each queue: queue, inbox, held, books
-- ARGV  1 id, 2 lane, 3 seq ("" if nobody remembers the call), 4 turn: rises within
--       one seq and is 0 to take nothing, 5 what the new fields begin with, 6 n, then
--       the share of each queue
-- gives "lost" if it has no lease, "left" if it has left; else "ok", or "again" with
-- what is still held of an earlier answer; the numbers of paused queues as one
-- string; then, for jobs whose fields follow each other: number of their queue,
-- number in the first field, payloads
local lane = ARGV[2]
local memo = redis.call('HMGET', KEYS[1], 'left', 's' .. lane, 'turn' .. lane, 'index' .. lane)
if memo[1] then return { 'left' } end
local lease = redis.call('ZSCORE', KEYS[2], ARGV[1])
local t = redis.call('TIME')
if not lease or lease * 1000 <= t[1] * 1000000 + t[2] then return { 'lost' } end

local seq, turn, prefix, n = ARGV[3], tonumber(ARGV[4]), ARGV[5], tonumber(ARGV[6])
local queues = #ARGV - 6
local asked, answered, index = memo[2] or '', tonumber(memo[3] or 0), 0
if seq ~= '' then
  if turn == 0 or seq < asked or seq == asked and turn <= answered then
    -- Whatever was sent for this seq and has not come yet shall take nothing.
    redis.call('PERSIST', KEYS[2]) -- a write that grows nothing comes first, as in held.lua
    if seq >= asked then redis.call('HSET', KEYS[1], 's' .. lane, seq, 'turn' .. lane, 1000000000) end
    local last = seq == asked and math.max(n, tonumber(memo[4] or 0)) or n
    local fields, reply = {}, { 'again', '' }
    for i = 1, last do fields[i] = prefix .. string.format('%04d', i) end
    for q = 1, queues do
      local payloads = last > 0 and redis.call('HMGET', KEYS[1 + 4 * q], unpack(fields)) or {}
      for i, payload in ipairs(payloads) do
        if payload then
          reply[#reply + 1], reply[#reply + 2], reply[#reply + 3] = q, i, { payload }
        end
      end
    end
    return reply
  end
  -- Another slot's turn of the same call may have taken some already.
  if seq == asked then index = tonumber(memo[4] or 0) end
end

local reply, paused, left = { 'ok', '' }, {}, n
local function take(q, most)
  local base = 4 * q - 1
  local jobs = redis.call('RPOP', KEYS[base + 1], most) or {}
  if #jobs < most then
    for _, job in ipairs(redis.call('RPOP', KEYS[base], most - #jobs) or {}) do jobs[#jobs + 1] = job end
  end
  if #jobs == 0 then return 0 end
  local at, pairs = #reply, {}
  reply[at + 1], reply[at + 2], reply[at + 3] = q, index + 1, jobs
  for i = 1, #jobs do
    pairs[2 * i - 1], pairs[2 * i] = prefix .. string.format('%04d', index + i), jobs[i]
  end
  index = index + #jobs
  redis.call('HSET', KEYS[base + 2], unpack(pairs))
  redis.call('HINCRBY', KEYS[base + 3], 'fetched', #jobs)
  left = left - #jobs
  return #jobs
end

local more = {} -- queues that gave their whole share and may have more
for q = 1, queues do
  if redis.call('HGET', KEYS[2 + 4 * q], 'paused') then
    paused[#paused + 1] = q
  else
    local most = math.min(tonumber(ARGV[6 + q]), left)
    if most == 0 or take(q, most) == most then more[#more + 1] = q end
  end
end
for _, q in ipairs(more) do
  if left == 0 then break end
  take(q, left)
end
if seq ~= '' then
  if #paused == queues then redis.call('PERSIST', KEYS[2]) end -- else a pop was the first write
  redis.call('HSET', KEYS[1], 's' .. lane, seq, 'turn' .. lane, turn, 'index' .. lane, index)
end
if #paused > 0 then reply[2] = table.concat(paused, ' ') end
return reply
