-- claim: makes one process the promoter, for a while at a time.
--
-- KEYS  1 promoter
-- ARGV  1 id, 2 for how many ms; 0 gives it up
-- gives 1 if the claim is its
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then return 0 end
if ARGV[2] == '0' then
  redis.call('DEL', KEYS[1])
  return 0
end
redis.call('PEXPIRE', KEYS[1], ARGV[2]) -- a write that grows nothing comes first, as in held.lua
if not owner then redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) end
return 1
