-- swap: puts a backup in the place of all that is kept.
--
-- KEYS  1 holders, then keys in which there are jobs, then all keys that go, then for
--       each key that comes: where it is staged, its name
-- ARGV  1 1 to replace jobs, 2 how many keys there are of the second kind, 3 of the
--       third, then for each key that comes: when it expires, in ms since 1970, or 0
-- gives "swapped"; or "used" if a process has a lease, "jobs" if there are jobs,
-- "gone" if a key is not staged: then nothing has changed
redis.call('PERSIST', KEYS[1]) -- a write that grows nothing comes first, as in held.lua
local t = redis.call('TIME')
local now = string.format('%.0f', t[1] * 1000 + t[2] / 1000)
if redis.call('ZCOUNT', KEYS[1], '(' .. now, '+inf') > 0 then return 'used' end

local jobs, old = tonumber(ARGV[2]), tonumber(ARGV[3])
if ARGV[1] ~= '1' then
  for i = 2, jobs + 1 do
    if redis.call('EXISTS', KEYS[i]) == 1 then return 'jobs' end
  end
end
local first = jobs + old + 2
for i = first, #KEYS, 2 do
  if redis.call('EXISTS', KEYS[i]) == 0 then return 'gone' end
end

for i = jobs + 2, first - 1 do redis.call('UNLINK', KEYS[i]) end
for i = first, #KEYS, 2 do
  local key, expires = KEYS[i + 1], ARGV[4 + (i - first) / 2]
  redis.call('RENAME', KEYS[i], key)
  if expires == '0' then redis.call('PERSIST', key) else redis.call('PEXPIREAT', key, expires) end
end
return 'swapped'
