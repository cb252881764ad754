-- beat: registers a process or renews its lease.
--
-- KEYS  1 last: what is remembered of the process, 2 holders, then held of each queue
-- ARGV  1 id, 2 ttl in ms
-- gives "left" if it has left; else "ok", the time in µs, 1 if it had no lease, and
-- for each queue the fields that it holds
redis.call('PEXPIRE', KEYS[1], 3600000) -- a write that grows nothing comes first, as in held.lua
if redis.call('HGET', KEYS[1], 'left') then return { 'left' } end
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local lease = redis.call('ZSCORE', KEYS[2], ARGV[1])
redis.call('ZADD', KEYS[2], math.floor(now / 1000) + ARGV[2], ARGV[1])
redis.call('HSET', KEYS[1], 'beat', string.format('%d', now))
if not lease then redis.call('PEXPIRE', KEYS[1], 3600000) end
local reply = { 'ok', string.format('%d', now), (not lease or lease * 1000 <= now) and 1 or 0 }
for i = 3, #KEYS do reply[#reply + 1] = redis.call('HKEYS', KEYS[i]) end
return reply
