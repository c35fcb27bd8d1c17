-- name:      undo (of a place whose old session, on another node, was gone by then)
-- keys:      1 the new session, 2 its subject's index or the first key again
-- arguments: 1 what the session must be (handle and version)   2 its entry in index 2, or ''
-- result:    'ok', now
-- cost:      O(1); about 5 us
local head = read_head(KEYS[1])
if head and string.byte(head, 1) == 1 and string.sub(head, 10, 27) == ARGV[1] then
  redis.call('DEL', KEYS[1])
  if ARGV[2] ~= '' then redis.call('ZREM', KEYS[2], ARGV[2]) end
end
return {'ok', now}
