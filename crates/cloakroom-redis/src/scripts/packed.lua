-- The packed layout: one string a session, the head and then everything else.
local function foreign(key)
  return redis.error_reply('FOREIGN ' .. 'a value under the session prefix is not a session')
end

-- The head of what is under a key (57 bytes of a record, 49 or 13 of a marker), or nil.
local function read_head(key)
  local head = redis.call('GETRANGE', key, '0', '56')
  if head == '' then return nil end
  local kind = string.byte(head, 1)
  if (kind == 1 and #head == 57) or kind == 2 then return head end
  error(foreign(key))
end

local function taken(key)
  return redis.call('EXISTS', key) == 1
end

local function read_all(key)
  return redis.call('GET', key)
end

-- Writes a record whose remaining parts are ARGV from `first` on.
local function put(key, head, first)
  local _, deadline = deadlines(head)
  redis.call('SET', key, head .. (ARGV[first] or ''), 'PXAT', deadline)
end

local function put_head(key, head)
  local _, deadline = deadlines(head)
  redis.call('SETRANGE', key, 0, head)
  redis.call('PEXPIREAT', key, deadline)
end

local function put_marker(key, value)
  redis.call('SET', key, value, 'PX', TOMBSTONE)
end
