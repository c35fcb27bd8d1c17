-- What every script begins with, after the server's time (clock.lua) and perhaps a quick way: what the
-- head of a record says. The layout's own file (packed.lua or fields.lua) follows, then the script.
--
-- A head is 57 bytes (docs/formats/record.md): 1 kind, 2-9 epoch, 10-21 handle, 22-27 version,
-- 28-33 created, 34-39 signed in, 40-45 seen, 46-51 idle limit, 52-57 absolute limit.
local TOMBSTONE = 120000

local function epoch_of(key)
  return redis.call('GET', key)
end

-- The moments at which a record is over: in any case, and unless something happens.
local function deadlines(head)
  local created, signed_in, seen, idle, absolute = struct.unpack('>I6I6I6I6I6', head, 28)
  local final = created + absolute
  if signed_in > 0 then final = signed_in + absolute end
  if idle > 0 and seen + idle < final then return final, seen + idle end
  return final, final
end

-- Whether a head is that of a session which lives.
local function alive(head, epoch)
  if not head or string.byte(head, 1) ~= 1 or string.sub(head, 2, 9) ~= epoch then return false end
  local _, deadline = deadlines(head)
  return now < deadline
end

local function seen_now(head)
  return string.sub(head, 1, 39) .. struct.pack('>I6', now) .. string.sub(head, 46)
end

-- What is left where a session was: until when it is remembered and forwards, and where to.
local function marker(forwards_until, target)
  return '\2' .. struct.pack('>I6I6', now + TOMBSTONE, forwards_until) .. target
end

-- Forgets up to 16 entries of an index whose sessions reached their absolute limit.
local function tidy(index)
  local over = redis.call('ZRANGEBYSCORE', index, '-inf', now, 'LIMIT', 0, 16)
  if #over > 0 then redis.call('ZREM', index, unpack(over)) end
end

-- Enters a session into its subject's index, which lives as long as its longest entry.
local function enter(index, member, final)
  tidy(index)
  redis.call('ZADD', index, final, member)
  local left = redis.call('PTTL', index)
  if left < 0 or now + left < final then redis.call('PEXPIREAT', index, final) end
end
