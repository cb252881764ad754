-- neighbours: asks who of the next in the ring of processes can still be heard, and
-- shortens the leases of those that cannot. The caller is in the ring itself as long
-- as it says that its doorbell is connected, from when the server has seen that.
--
-- KEYS  1 doorbells, 2 holders
-- ARGV  1 id, 2 what the names of channels begin with, 3 in how many ms its own lease
--       is to end when its doorbell is found silent; 0 if it has none just now
-- gives how many listen at its own doorbell; and in how many ms the first lease ends
-- of a neighbour that cannot be heard, or -1
redis.call('PERSIST', KEYS[1]) -- a write that grows nothing comes first, as in held.lua
local id, prefix, short = ARGV[1], ARGV[2], ARGV[3]
local t = redis.call('TIME')
local now = math.floor(t[1] * 1000 + t[2] / 1000)

-- A member is an identity, a blank and the ms that are left of its lease. No identity
-- holds a blank or what sorts before it, so that '!' is behind all that one may have.
local first, behind = id .. ' ', id .. '!'

local function silent(member)
  local name, left = string.match(member, '^(.*) (%d+)$')
  local lease = redis.call('ZSCORE', KEYS[2], name)
  if not lease then -- somebody has seen to it, who does not know of doorbells
    redis.call('ZREM', KEYS[1], member)
    return -1
  end
  left = math.min(tonumber(left), lease - now)
  if now + left < tonumber(lease) then redis.call('ZADD', KEYS[2], 'XX', now + left, name) end
  return math.max(left, 0)
end

-- ask looks at the n next, and gives how many listen at the caller's own doorbell,
-- how many neighbours were heard, and in how many ms the first lease of the others ends.
local function ask(n)
  local members = redis.call('ZRANGEBYLEX', KEYS[1], '(' .. behind, '+', 'LIMIT', 0, n)
  for _, member in ipairs(redis.call('ZRANGEBYLEX', KEYS[1], '-', '(' .. first, 'LIMIT', 0, n - #members)) do
    members[#members + 1] = member
  end
  local channels = { prefix .. id }
  for i, member in ipairs(members) do channels[i + 1] = prefix .. string.match(member, '^(.*) ') end
  local listeners = redis.call('PUBSUB', 'NUMSUB', unpack(channels))
  local heard, soonest = 0, -1
  for i, member in ipairs(members) do
    if listeners[2 * i + 2] > 0 then
      heard = heard + 1
    else
      local left = silent(member)
      if left >= 0 and (soonest < 0 or left < soonest) then soonest = left end
    end
  end
  return listeners[2], heard, soonest
end

-- Whoever lives watches those behind it. Where a host takes all its processes along,
-- none of three may, and the way to the next who does is longer.
local listeners, heard, soonest = ask(3)
if heard == 0 and soonest >= 0 then listeners, heard, soonest = ask(30) end

local mine = first .. short
if short == '0' then
  redis.call('ZREMRANGEBYLEX', KEYS[1], '[' .. first, '(' .. behind)
elseif listeners > 0 and not redis.call('ZSCORE', KEYS[1], mine) and redis.call('ZSCORE', KEYS[2], id) then
  redis.call('ZREMRANGEBYLEX', KEYS[1], '[' .. first, '(' .. behind)
  redis.call('ZADD', KEYS[1], 0, mine)
end
return { listeners, soonest }
