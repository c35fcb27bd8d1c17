-- The quick way of `apply`, packed layout: the session is what the writer saw, which is nearly always
-- so. It stands before everything that other cases need, because Redis makes each function of a
-- script anew at every call, which costs more than this does. Whatever is not so goes on below.
-- Numbers in calls are text where that is possible: Redis prints each number of Lua as a float of 17
-- digits, which costs more than a short command. So a life that its idle limit ends is said as that limit,
-- which ends the key within the same millisecond or the next.
local head = redis.call('GETRANGE', KEYS[1], '0', '56')
local epoch = redis.call('GET', KEYS[2])
if #head == 57 and epoch and string.sub(head, 1, 27) == '\1' .. epoch .. ARGV[1] then
  local created, signed_in, seen, idle, absolute = struct.unpack('>I6I6I6I6I6', head, 28)
  if signed_in > 0 then created = signed_in end
  local deadline = created + absolute
  if now < deadline and (idle == 0 or now < seen + idle) then
    local value = '\1' .. epoch .. ARGV[2] .. struct.pack('>I6', now) .. ARGV[3]
    if idle > 0 and now + idle < deadline then
      redis.call('SET', KEYS[1], value, 'PX', ARGV[4])
    else
      redis.call('SET', KEYS[1], value, 'PXAT', deadline)
    end
    return now
  end
end
