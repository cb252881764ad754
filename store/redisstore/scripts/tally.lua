-- tally: brings Sidekiq's counters up to the books.
--
-- KEYS  1 stat:processed, 2 stat:failed, 3 and 4 the same of today, then books of
--       queues
-- gives 1
local sums = { 0, 0 }
for i = 5, #KEYS do
  local b = redis.call('HMGET', KEYS[i], 'done', 'discarded', 'ended', 'failed', 'tallied', 'tallied-failed')
  for n = 1, 6 do b[n] = tonumber(b[n] or 0) end
  local new = { b[1] + b[2] + b[3] - b[5], b[4] - b[6] }
  for n, field in ipairs({ 'tallied', 'tallied-failed' }) do
    if new[n] ~= 0 then
      redis.call('PERSIST', KEYS[i]) -- a write that grows nothing comes first, as in held.lua
      redis.call('HINCRBY', KEYS[i], field, new[n])
      sums[n] = sums[n] + new[n]
    end
  end
end
for n, sum in ipairs(sums) do
  if sum ~= 0 then
    redis.call('INCRBY', KEYS[n], sum)
    if redis.call('INCRBY', KEYS[n + 2], sum) == sum then redis.call('EXPIRE', KEYS[n + 2], 157680000) end
  end
end
return 1
