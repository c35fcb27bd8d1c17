-- name:      place (create, rotate, login)
-- keys:      1 the new session, 2 epoch, 3 its subject's index, 4 the old session, 5 its subject's
--            index, 6 the epoch of its tag, 7 what is there while the new tag is closing (only if
--            the session comes from another tag), 8.. sessions that may be ended to make room, in the
--            order to end them in. A key that is not needed is the first one again, or 2 for 6.
-- arguments: 1 what the old session must be (handle and version); '' to create; '+' if the old
--            session is on another node
--            2 '1' if somebody signs in   3 grace in ms, or -1   4 where the old key forwards to
--            5 limit of parallel sessions, or 0   6 new entry in index 3, or ''
--            7 old entry in index 5, or ''   8 how many sessions may be ended (n)
--            9.. their n entries in index 3, then the head, then the layout's parts
-- result:    'ok', now, epoch | 'stale', now, epoch, what is under the old key | 'taken', now
--            | 'crowded', now | 'closing', now
-- cost:      O(n + log of the subject's sessions); about 8 us without n
local expected, login, grace, target = ARGV[1], ARGV[2] == '1', tonumber(ARGV[3]), ARGV[4]
local limit, entry, old_entry, n = tonumber(ARGV[5]), ARGV[6], ARGV[7], tonumber(ARGV[8])
local head, first = ARGV[9 + n], 10 + n

local epoch = epoch_of(KEYS[2])
if not epoch then
  epoch = struct.pack('>I8', time[1] * 1000000 + time[2])
  redis.call('SET', KEYS[2], epoch)
end
if KEYS[7] ~= KEYS[1] and redis.call('EXISTS', KEYS[7]) == 1 then return {'closing', now} end
local old_is_here = expected ~= '' and expected ~= '+'
if old_is_here then
  local old, old_epoch = read_head(KEYS[4]), epoch
  if KEYS[6] ~= KEYS[2] then old_epoch = epoch_of(KEYS[6]) end
  if not alive(old, old_epoch) or string.sub(old, 10, 27) ~= expected then
    return {'stale', now, old_epoch, read_all(KEYS[4])}
  end
end
if taken(KEYS[1]) then return {'taken', now} end

local ending, dropping = {}, {}
if limit > 0 then
  tidy(KEYS[3])
  local others = redis.call('ZCARD', KEYS[3])
  if old_entry ~= '' and KEYS[5] == KEYS[3] and redis.call('ZSCORE', KEYS[3], old_entry) then
    others = others - 1
  end
  for i = 1, n do
    local member = ARGV[8 + i]
    if redis.call('ZSCORE', KEYS[3], member) then
      local other = read_head(KEYS[7 + i])
      if not alive(other, epoch) or string.sub(other, 10, 21) ~= string.sub(member, 1, 12) then
        table.insert(dropping, member)
        others = others - 1
      elseif others + 1 > limit then
        table.insert(ending, i)
        others = others - 1
      end
    end
  end
  if others + 1 > limit then return {'crowded', now} end
end

local stamp = struct.pack('>I6', now)
local created, signed_in = string.sub(head, 28, 33), string.sub(head, 34, 39)
if expected == '' then created = stamp end
if login then signed_in = stamp end
head = '\1' .. epoch .. string.sub(head, 10, 27) .. created .. signed_in .. stamp .. string.sub(head, 46)
put(KEYS[1], head, first)
if old_is_here then
  -- Without a grace it forwards nobody, but a scan still finds the session by it.
  local forwards_until = 0
  if grace >= 0 then forwards_until = now + grace end
  put_marker(KEYS[4], marker(forwards_until, target))
end
for _, i in ipairs(ending) do
  put_marker(KEYS[7 + i], marker(0, ''))
  redis.call('ZREM', KEYS[3], ARGV[8 + i])
end
for _, member in ipairs(dropping) do redis.call('ZREM', KEYS[3], member) end
if old_entry ~= '' then redis.call('ZREM', KEYS[5], old_entry) end
if entry ~= '' then
  local final = deadlines(head)
  enter(KEYS[3], entry, final)
end
return {'ok', now, epoch}
