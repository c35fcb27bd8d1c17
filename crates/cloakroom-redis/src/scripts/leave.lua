-- name:      leave (a session has moved to another node)
-- keys:      1 the old session, 2 epoch, 3 its subject's index or the first key again
-- arguments: 1 what the old session must be (handle and version)   2 grace in ms, or -1
--            3 where the session is now   4 its entry in index 3, or ''
-- result:    'ok', now | 'stale', now, epoch, what is under the old key
-- cost:      O(1); about 6 us
local expected, grace, target, entry = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
local epoch = epoch_of(KEYS[2])
local old = read_head(KEYS[1])
-- It was done already, and the answer got lost.
if old and string.byte(old, 1) == 2 and string.sub(old, 14) == target then return {'ok', now} end
if not alive(old, epoch) or string.sub(old, 10, 27) ~= expected then
  return {'stale', now, epoch, read_all(KEYS[1])}
end
local forwards_until = 0
if grace >= 0 then forwards_until = now + grace end
put_marker(KEYS[1], marker(forwards_until, target))
if entry ~= '' then redis.call('ZREM', KEYS[3], entry) end
return {'ok', now}
