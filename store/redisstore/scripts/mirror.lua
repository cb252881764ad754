-- mirror: looks at a process of Ruby's and keeps a copy of what it says that it runs.
--
-- KEYS  1 mirror, 2 mirrors, 3 processes, 4 super_processes, 5 holders, and of the
--       process: 6 its record, 7 work, 8 workers, 9 last
-- ARGV  1 id, 2 the longest gap between looks, 3 how long it must have been silent, 4 how
--       old a mirror may be, 5 how long it is kept, all in ms; 6 1 if its end was witnessed
-- gives its state, or "" if nobody has to do with it; the time in ms; 1 if it is new, 2 if
-- it is back, 3 if its doubtful end has been told; how many jobs it runs; when it last
-- beat, in ms; whether it was quiet; its info; and where they matter the slots and texts
-- of its jobs
--
-- The mirror holds beat, heard, quiet and info as of the last beat; since, from when on
-- looks without a gap have seen no other; gone, doubt and told, of a process whose record
-- is gone; put once jobs were put back. w:<slot> is what runs there, x:<slot> what does
-- so as well and is not to be put back. The score in mirrors is when it was last looked at.
redis.call('HDEL', KEYS[1], '') -- a write that grows nothing comes first, as in held.lua

local id, gap, silence, stale = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local looked = tonumber(redis.call('ZSCORE', KEYS[2], id) or nil)
local steady = looked and looked <= now and now - looked <= gap

local function integer(n) return string.format('%d', n) end

local function pairsOf(reply, into)
  for i = 1, #reply, 2 do into[reply[i]] = reply[i + 1] end
  return into
end

local mirror = {}
local fields = { 'beat', 'heard', 'quiet', 'info', 'since', 'gone', 'doubt', 'told', 'put' }
for i, value in ipairs(redis.call('HMGET', KEYS[1], unpack(fields))) do mirror[fields[i]] = value or nil end

local function set(field, value)
  if type(value) == 'number' then value = integer(value) end
  redis.call('HSET', KEYS[1], field, value)
  mirror[field] = value
end

local function drop(field)
  redis.call('HDEL', KEYS[1], field)
  mirror[field] = nil
end

-- runs calls f with the field, kind, slot and text of each run in the mirror.
local function runs(f)
  for field, text in pairs(pairsOf(redis.call('HGETALL', KEYS[1]), {})) do
    local kind, slot = string.match(field, '^([wx]):(.*)$')
    if kind then f(field, kind, slot, text) end
  end
end

-- What it fetches is in somebody's keeping: ebb's, or that of Sidekiq Pro.
if redis.call('EXISTS', KEYS[9]) == 1 or redis.call('ZSCORE', KEYS[5], id) or redis.call('SISMEMBER', KEYS[4], id) == 1 then
  redis.call('DEL', KEYS[1])
  redis.call('ZREM', KEYS[2], id)
  return { '' }
end

local alive = redis.call('EXISTS', KEYS[6]) == 1
local member = redis.call('SISMEMBER', KEYS[3], id) == 1

-- To leave, it takes itself out of processes; its record stays until it expires. A last
-- beat may come after that, with jobs that it has just given back itself.
if alive and not member then
  runs(function(field, kind, slot, text)
    if kind == 'w' then
      drop(field)
      set('x:' .. slot, text)
    end
  end)
  redis.call('PEXPIRE', KEYS[1], 600000)
  if redis.call('ZREM', KEYS[2], id) == 0 then return { '' } end
  return { 'left', integer(now) }
end
if not alive and not (looked and mirror.beat) then
  redis.call('ZREM', KEYS[2], id)
  return { '' }
end

local state, flag, busy = 'alive', 0, '0'
if alive then
  if not mirror.beat then flag = 1 elseif mirror.put then flag = 2 end
  local record = redis.call('HMGET', KEYS[6], 'beat', 'quiet', 'info', 'busy')
  busy = record[4] or busy
  local fresh = (record[1] or '') ~= mirror.beat
  -- Only a beat tells what runs: until the next one, what is missing may just have
  -- expired, a moment before the record.
  if fresh then
    local work = pairsOf(redis.call('HGETALL', KEYS[7]), pairsOf(redis.call('HGETALL', KEYS[8]), {}))
    runs(function(field, _, slot, text)
      if work[slot] == text then work[slot] = nil else drop(field) end
    end)
    for slot, text in pairs(work) do set('w:' .. slot, text) end
    for _, field in ipairs({ 'gone', 'doubt', 'told', 'put' }) do drop(field) end
    set('beat', record[1] or '')
    set('heard', now - math.max(60000 - redis.call('PTTL', KEYS[6]), 0))
    set('quiet', record[2] or '')
    set('info', record[3] or '')
  end
  redis.call('PEXPIRE', KEYS[1], ARGV[5])
  if fresh or not steady then set('since', now) end
else
  if not steady then set('since', now) end
  if not mirror.gone then
    set('gone', now)
    if now - looked > stale or not (member or steady) then set('doubt', 1) end
  end
  state = 'lost'
  if now - mirror.since < silence then
    state = 'silent'
  elseif mirror.doubt then
    state = 'doubtful'
    if mirror.told then flag = 3 else set('told', 1) end
  end
end
redis.call('ZADD', KEYS[2], now, id)
if ARGV[6] == '1' then state = 'lost' end

local reply = { state, integer(now), integer(flag), busy, mirror.heard, mirror.quiet, mirror.info }
if state == 'alive' and mirror.quiet ~= 'true' then return reply end
runs(function(_, kind, slot, text)
  if kind == 'w' then
    reply[#reply + 1] = slot
    reply[#reply + 1] = text
  end
end)
return reply
