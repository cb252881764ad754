-- pause: stops a queue from being fetched from, or lets it go on.
--
-- KEYS  1 books
-- ARGV  1 1 to pause, 0 to go on
-- gives 1
redis.call('HDEL', KEYS[1], 'paused')
if ARGV[1] == '1' then redis.call('HSET', KEYS[1], 'paused', '1') end
return 1
