-- stats: what some queues and their books say, as of one moment.
--
-- KEYS  for each queue: books, queue, inbox, then held of each process that is asked of
-- ARGV  for each queue how many processes that are
-- gives for each queue: the fields and values of its books, how many jobs wait, how
-- many are held
local reply, at = {}, 1
for q = 1, #ARGV do
  local holds, last = 0, at + 2 + ARGV[q]
  for i = at + 3, last do holds = holds + redis.call('HLEN', KEYS[i]) end
  reply[3 * q - 2] = redis.call('HGETALL', KEYS[at])
  reply[3 * q - 1] = redis.call('LLEN', KEYS[at + 1]) + redis.call('LLEN', KEYS[at + 2])
  reply[3 * q] = holds
  at = last + 1
end
return reply
