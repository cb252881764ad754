-- ack: forgets held jobs. It runs once for nearly every job, and so is lean.
--
-- KEYS  1 last: what is remembered of the holder; then for each queue: held, books
-- ARGV  1 lane, 2 seq ("" if nobody remembers the call), then for each job: queue,
--       field, outcome in the books, 1 if the run failed
-- gives "ok" and the numbers of those not held, or "stale"
local lane, seq = ARGV[1], ARGV[2]
if seq ~= '' then
  local memo = redis.call('HMGET', KEYS[1], 's' .. lane, 'r' .. lane)
  if memo[1] and seq <= memo[1] then
    if seq < memo[1] then return { 'stale', '' } end
    return { 'ok', memo[2] or '' }
  end
end

-- The first write frees, and so a full server lets the others follow.
local counts, missing = {}, {}
for at = 3, #ARGV, 4 do
  local q, outcome = 2 * ARGV[at], ARGV[at + 2]
  if redis.call('HDEL', KEYS[q], ARGV[at + 1]) == 1 then
    local books = KEYS[q + 1]
    local c = counts[books] or {}
    counts[books] = c
    c[outcome] = (c[outcome] or 0) + 1
    if ARGV[at + 3] == '1' then
      c.failed = (c.failed or 0) + 1
      if outcome == 'expired' then c.ended = (c.ended or 0) + 1 end
    end
  else
    missing[#missing + 1] = (at - 3) / 4
  end
end
for books, c in pairs(counts) do
  for what, n in pairs(c) do redis.call('HINCRBY', books, what, n) end
end
local text = table.concat(missing, ' ')
if seq ~= '' then redis.call('HSET', KEYS[1], 's' .. lane, seq, 'r' .. lane, text) end
return { 'ok', text }
