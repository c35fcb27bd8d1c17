-- The fields layout: one hash a session. The head is the Redis field "\255h" (the byte 255 is not in
-- any UTF-8, so no field of an application has this name), a marker is "\255e".
local function read_head(key)
  local found = redis.call('HMGET', key, '\255h', '\255e')
  -- A marker comes first: beneath it may be a session that is leaving for another node.
  if found[2] then
    return found[2]
  elseif found[1] then
    if string.byte(found[1], 1) == 1 and #found[1] == 61 then return found[1] end
  elseif redis.call('EXISTS', key) == 0 then
    return nil
  end
  error(redis.error_reply('FOREIGN a hash under the session prefix is not a session'))
end

local function taken(key)
  return redis.call('EXISTS', key) == 1
end

local function read_all(key)
  return redis.call('HGETALL', key)
end

-- Writes a record whose Redis fields, names and values by turns, are ARGV from `first` on.
local function put(key, head, first)
  local _, deadline = deadlines(head)
  redis.call('HSET', key, '\255h', head)
  for i = first, #ARGV, 2 do redis.call('HSET', key, ARGV[i], ARGV[i + 1]) end
  redis.call('PEXPIREAT', key, deadline)
end

local function put_head(key, head)
  local _, deadline = deadlines(head)
  redis.call('HSET', key, '\255h', head)
  redis.call('PEXPIREAT', key, deadline)
end

local function put_marker(key, value)
  redis.call('DEL', key)
  redis.call('HSET', key, '\255e', value)
  redis.call('PEXPIRE', key, TOMBSTONE)
end

-- The Redis fields that are no fields of the session: the head, and perhaps subject and label.
local function extras(key)
  return 1 + redis.call('HEXISTS', key, '\255s') + redis.call('HEXISTS', key, '\255l')
end

local function size_of(_, head)
  return (struct.unpack('>I4', head, 58))
end
