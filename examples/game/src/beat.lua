-- The heart of a process: says who plays here, learns what the whole game looks like.
-- KEYS  1 online: sorted set, seat -> when it counts as left, in ms of the server's clock
--       2 players: hash, seat -> name and coins as JSON    3 board: set of the cells with a coin
-- ARGV  1 ms that a seat lives without a beat   2 coins that lie on the board   3 cells of the board
--       4 a random number   5 this process   6 "changed" tells the other processes to look
--       7.. seats of this process, each with its JSON; a JSON of "" is a seat that was left
-- Gives the cells, then the JSON of every seat with the seat before it.
-- Cost  O(seats); one trip.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for i = 7, #ARGV, 2 do
    if ARGV[i + 1] == '' then
        redis.call('ZREM', KEYS[1], ARGV[i])
        redis.call('HDEL', KEYS[2], ARGV[i])
    else
        redis.call('ZADD', KEYS[1], now + ARGV[1], ARGV[i])
        redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1])
    end
end
-- Who has not been heard of: their process is dead, or cut off.
for _, seat in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now)) do
    redis.call('ZREM', KEYS[1], seat)
    redis.call('HDEL', KEYS[2], seat)
end
-- A step that shares no factor with the board's size visits every cell.
local cell = tonumber(ARGV[4])
for _ = 1, ARGV[3] do
    if redis.call('SCARD', KEYS[3]) >= tonumber(ARGV[2]) then break end
    cell = (cell + 37) % ARGV[3]
    redis.call('SADD', KEYS[3], cell)
end
if ARGV[6] == 'changed' then
    redis.call('PUBLISH', 'game:changed', ARGV[5])
end
return {redis.call('SMEMBERS', KEYS[3]), redis.call('HGETALL', KEYS[2])}
