-- The plain layout: one hash a session, under the id itself, which other programs read and write too.
-- The head is in the Redis field `_cloakroom`, in hexadecimal, because those programs expect text: 57
-- bytes of a head, then 4 that differ whenever the other fields do. A marker is a key of its own, so
-- that nobody finds a hash where a session has ended.
local HEAD = '_cloakroom'
-- An EXPIRE this near to ours, in ms, is ours.
local SLACK = 1000
-- The absolute limit of sessions that others began, in ms: 400 days.
local LONGEST = 34560000000

-- A session may be adopted here at any time, so there always is an epoch to adopt it into.
local function epoch_of(key)
  local epoch = redis.call('GET', key)
  if not epoch then
    epoch = struct.pack('>I8', time[1] * 1000000 + time[2])
    redis.call('SET', key, epoch)
  end
  return epoch
end

-- The epoch of a session by its key: the first two characters of the id are its tag in base64url.
local function own_epoch(key)
  local digits = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  local function digit(at) return string.find(digits, string.sub(key, at, at), 1, true) - 1 end
  return epoch_of(string.format('session-epoch:{%03x}', digit(9) * 64 + digit(10)))
end

local function foreign(what)
  error(redis.error_reply('FOREIGN ' .. what))
end

local function marker_key(key)
  return 'session-ended:' .. string.sub(key, 9)
end

local function hex(bytes)
  return (string.gsub(bytes, '.', function(byte) return string.format('%02x', string.byte(byte)) end))
end

local function unhex(text)
  return (string.gsub(text, '..', function(digits) return string.char(tonumber(digits, 16)) end))
end

-- The text of the head, and 4 bytes that stand for all other fields.
local function inspect(all)
  local text, names, values = nil, {}, {}
  for i = 1, #all, 2 do
    if all[i] == HEAD then
      text = all[i + 1]
    else
      table.insert(names, all[i])
      values[all[i]] = all[i + 1]
    end
  end
  table.sort(names)
  local parts = {}
  for _, name in ipairs(names) do
    table.insert(parts, #name .. ':' .. name .. #values[name] .. ':' .. values[name])
  end
  return text, unhex(string.sub(redis.sha1hex(table.concat(parts)), 1, 8))
end

local function idle_of(head)
  return (struct.unpack('>I6', head, 46))
end

-- A session that another program began: it lives as long as that program says by EXPIRE, and its
-- handle is made of nothing that anybody knows who does not know the id.
local function adopt(key)
  redis.call('HDEL', key, '_cloakroom.subject', '_cloakroom.label')
  local moment = struct.pack('>I8', time[1] * 1000000 + time[2])
  local handle = unhex(string.sub(redis.sha1hex(key .. moment), 1, 24))
  local numbers = struct.pack('>I6I6I6I6I6I6', 1, now, 0, now, 0, LONGEST)
  return '\1' .. own_epoch(key) .. handle .. numbers
end

-- Sets when the key ends. Where activity changes nothing, somebody's shorter EXPIRE stays.
local function settle(key, head)
  local final, deadline = deadlines(head)
  local left = redis.call('PTTL', key)
  if idle_of(head) == 0 and left >= 0 and now + left <= final then return end
  redis.call('PEXPIREAT', key, deadline)
end

-- The head, with what others did since: a changed field is a write, so the version moves; EXPIRE says
-- how long the session lives, up to its idle limit from now, and never beyond its absolute limit.
local function read_head(key)
  local ended = redis.call('GET', marker_key(key))
  if ended then return ended end
  local all = redis.call('HGETALL', key)
  if #all == 0 then return nil end
  local text, print = inspect(all)
  local left = redis.call('PTTL', key)
  local before, head
  if not text then
    if left < 0 then foreign('a hash without EXPIRE under the session prefix is no session') end
    head = adopt(key)
    text, print = inspect(redis.call('HGETALL', key))
    head = head .. print
  elseif #text == 122 and string.sub(text, 1, 2) == '01' and not string.find(text, '%X') then
    before = unhex(text)
    head = before
  else
    foreign('a hash with another _cloakroom is no session')
  end
  if string.sub(head, 58) ~= print then
    local version = struct.unpack('>I6', head, 22)
    head = string.sub(head, 1, 21) .. struct.pack('>I6', version + 1) .. string.sub(head, 28, 57) .. print
  end
  local final, deadline = deadlines(head)
  local idle = idle_of(head)
  if left >= 0 and idle > 0 and math.abs(now + left - deadline) > SLACK then
    local seen = now + math.min(left, idle) - idle
    head = string.sub(head, 1, 39) .. struct.pack('>I6', seen) .. string.sub(head, 46)
    final, deadline = deadlines(head)
  end
  if left < 0 or now + left > deadline + SLACK then redis.call('PEXPIREAT', key, deadline) end
  if head ~= before and redis.call('EXISTS', key) == 1 then redis.call('HSET', key, HEAD, hex(head)) end
  return head
end

local function read_all(key)
  return {now, redis.call('GET', marker_key(key)), redis.call('HGETALL', key)}
end

local function taken(key)
  return redis.call('EXISTS', key, marker_key(key)) > 0
end

local function put_head(key, head)
  local _, print = inspect(redis.call('HGETALL', key))
  redis.call('HSET', key, HEAD, hex(string.sub(head, 1, 57) .. print))
  settle(key, head)
end

-- Writes a record whose Redis fields, names and values by turns, are ARGV from `first` on. What was
-- left of a session that activity does not prolong is left under its new id as well.
local function put(key, head, first)
  for i = first, #ARGV, 2 do redis.call('HSET', key, ARGV[i], ARGV[i + 1]) end
  if ARGV[2] ~= '1' and KEYS[4] ~= key then
    local left = redis.call('PTTL', KEYS[4])
    if left > 0 then redis.call('PEXPIRE', key, left) end
  end
  put_head(key, head)
end

local function put_marker(key, value)
  redis.call('DEL', key)
  redis.call('SET', marker_key(key), value, 'PX', TOMBSTONE)
end

-- The Redis fields that are no fields of the session.
local function extras(key)
  return 1 + redis.call('HEXISTS', key, '_cloakroom.subject') + redis.call('HEXISTS', key, '_cloakroom.label')
end

-- The most that one field takes in the packed form, in which the limit is said: a byte, the length as
-- LEB128, the name, the value without the byte that names its codec, or with the quotes of a string.
local function packed(name, value)
  local length = #value + 2
  local first = string.byte(value, 1)
  if first and first >= 1 and first <= 4 then length = #value - 1 end
  local digits = 1
  if length >= 16384 then digits = 3 elseif length >= 128 then digits = 2 end
  return 1 + digits + #name + length
end

local function size_of(key)
  local all, size = redis.call('HGETALL', key), 0
  for i = 1, #all, 2 do
    if string.sub(all[i], 1, #HEAD) ~= HEAD then size = size + packed(all[i], all[i + 1]) end
  end
  return size
end
