-- name:      end (destroy, revoke, revoke a subject's)
-- keys:      1 epoch, 2 the subject's index or the first key again, 3.. sessions
-- arguments: 1 '' or how many entries the index has besides these; else nothing is done
--            then for each session two: its handle or '', its entry in the index or ''
-- result:    'ok', now, and for each session 1 (was alive), 0 (was not) or the marker under its key
--            | 'stale', now
-- cost:      O(sessions); about 6 us with one
local epoch = epoch_of(KEYS[1])
local n = #KEYS - 2
if ARGV[1] ~= '' then
  local known = 0
  for i = 1, n do
    if redis.call('ZSCORE', KEYS[2], ARGV[1 + 2 * i]) then known = known + 1 end
  end
  if redis.call('ZCARD', KEYS[2]) > known + tonumber(ARGV[1]) then return {'stale', now} end
end
-- All are read first: if one is foreign, nothing is done.
local heads = {}
for i = 1, n do heads[i] = read_head(KEYS[2 + i]) end
local result = {'ok', now}
for i = 1, n do
  local key, handle, entry, head = KEYS[2 + i], ARGV[2 * i], ARGV[1 + 2 * i], heads[i]
  local done = 0
  if head and string.byte(head, 1) == 2 then
    done = head
  elseif alive(head, epoch) and (handle == '' or string.sub(head, 10, 21) == handle) then
    put_marker(key, marker(0, ''))
    done = 1
  end
  -- The entry of a session that is leaving for another node is what it is found by.
  local leads = type(done) == 'string' and struct.unpack('>I6', done, 8) > now
  if entry ~= '' and not leads then redis.call('ZREM', KEYS[2], entry) end
  table.insert(result, done)
end
return result
