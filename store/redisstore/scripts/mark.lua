-- mark: remembers when a release began.
--
-- KEYS  1 releases by when they began, in ms
-- ARGV  1 release, 2 for how many ms one is remembered, 3 how many are
-- gives 1 if it was not known
local t = redis.call('TIME')
local now = math.floor(t[1] * 1000 + t[2] / 1000)
-- A full server refuses this write, and so all of them: its rest is for jobs.
local new = redis.call('ZADD', KEYS[1], 'NX', string.format('%d', now), ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('(%d', now - ARGV[2]))
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -ARGV[3] - 1)
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return new
