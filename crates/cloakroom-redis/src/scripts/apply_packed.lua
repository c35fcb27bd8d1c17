-- name:      apply, packed layout; what is left when quick_packed.lua, which stands before it, has written nothing
-- keys:      1 the session, 2 epoch
-- arguments: 1 what it must be (handle and version); of what it shall be: 2 handle to signed in, 3 what follows
--            the last activity, 4 the idle limit in ms (0: none), as in the head
-- result:    now, if it is done | 'stale', now, epoch, what is under the key
-- cost:      O(size); about 4 us
read_head(KEYS[1])
return {'stale', now, epoch, read_all(KEYS[1])}
