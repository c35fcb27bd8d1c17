-- The quick way of `apply`, fields layout: fields are set, whatever they were, which is nearly all that
-- writers ask for. It stands before everything that other cases need, because Redis makes each
-- function of a script anew at every call, and asks once for what the way below asks for one by one.
-- Whatever is not so, or may be too large, goes on below: nothing was written yet.
-- The bytes of one field in the packed form, in which the limit is said: a byte, the length as
-- LEB128, the name, the value without the byte that names a codec other than JSON.
local function packed(name, value)
  local length = #value
  local first = string.byte(value, 1)
  if first and first >= 1 and first <= 4 then length = length - 1 end
  local digits = 1
  if length >= 16384 then digits = 3 elseif length >= 128 then digits = 2 end
  return 1 + digits + #name + length
end


local asked, written, quick = {'\255h', '\255e'}, {}, ARGV[1] == 'always'
for i = 6, #ARGV, 3 do
  if ARGV[i] ~= 'set' then quick = false end
  local at = #asked - 1
  asked[at + 2], written[2 * at - 1], written[2 * at] = ARGV[i + 1], ARGV[i + 1], ARGV[i + 2]
end
local epoch = quick and redis.call('GET', KEYS[2])
local found = epoch and redis.call('HMGET', KEYS[1], unpack(asked))
local head = found and not found[2] and found[1]
if head and #head == 61 and string.sub(head, 1, 9) == '\1' .. epoch then
  local version, created, signed_in, seen, idle, absolute, size = struct.unpack('>I6I6I6I6I6I6I4', head, 22)
  if signed_in > 0 then created = signed_in end
  local deadline, added = created + absolute, 0
  for i = 3, #asked do
    local before = found[i]
    if before then size = size - packed(asked[i], before) else added = added + 1 end
    size = size + packed(asked[i], written[2 * i - 4])
  end
  local fits = size <= tonumber(ARGV[5])
    and (added == 0 or redis.call('HLEN', KEYS[1]) - 1 + added <= tonumber(ARGV[4]))
  if fits and now < deadline and (idle == 0 or now < seen + idle) then
    if idle > 0 and now + idle < deadline then deadline = now + idle end
    head = string.sub(head, 1, 21) .. struct.pack('>I6', version + 1) .. string.sub(head, 28, 39)
      .. struct.pack('>I6', now) .. string.sub(head, 46, 57) .. struct.pack('>I4', math.max(size, 0))
    redis.call('HSET', KEYS[1], '\255h', head, unpack(written))
    redis.call('PEXPIREAT', KEYS[1], deadline)
    return version + 1
  end
end
