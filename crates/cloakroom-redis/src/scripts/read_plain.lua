-- name:      read, plain layout
-- keys:      1 the session, 2 epoch
-- arguments: none
-- result:    now, the marker or nil, everything in the hash
-- cost:      O(fields); about 15 us with eight
epoch_of(KEYS[2])
read_head(KEYS[1])
return read_all(KEYS[1])
