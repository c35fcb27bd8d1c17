-- name:      sweep, plain layout: after a mass revocation, for the programs that know no epochs
-- keys:      1 a session, 2 epoch
-- arguments: none
-- result:    1 if it was of another epoch, or of no epoch, and is deleted; else 0
-- cost:      O(fields)
local epoch = epoch_of(KEYS[2])
local text = redis.pcall('HGET', KEYS[1], HEAD)
if type(text) == 'table' then return 0 end
if text and unhex(string.sub(text, 3, 18)) == epoch then return 0 end
return redis.call('DEL', KEYS[1])
