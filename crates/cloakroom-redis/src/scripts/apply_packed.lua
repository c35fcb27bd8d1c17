-- name:      apply, packed layout
-- keys:      1 the session, 2 epoch
-- arguments: 1 what it must be (handle and version), 2 the new head, 3 everything else
-- result:    'ok', now | 'stale', now, epoch, what is under the key
-- cost:      O(size); about 7 us
local epoch = epoch_of(KEYS[2])
local old = read_head(KEYS[1])
if not alive(old, epoch) or string.sub(old, 10, 27) ~= ARGV[1] then
  return {'stale', now, epoch, read_all(KEYS[1])}
end
put(KEYS[1], seen_now('\1' .. epoch .. string.sub(ARGV[2], 10)), 3)
return {'ok', now}
