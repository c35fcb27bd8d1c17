-- name:      rights (asked when a store opens; it has no clock and no prelude)
-- keys:      1 a session, 2 an index, 3 an epoch, 4 what is there while a tag is closing
-- arguments: commands, in which session, index, epoch and closing stand for the keys
-- result:    'ok', or NOPERM with all that the user may not run. A server before 7.0 cannot say.
-- cost:      O(commands); nothing is run
local keys = {session = KEYS[1], index = KEYS[2], epoch = KEYS[3], closing = KEYS[4]}
local missing = {}
for _, line in ipairs(redis.acl_check_cmd and ARGV or {}) do
  local words = {}
  for word in string.gmatch(line, '%S+') do table.insert(words, keys[word] or word) end
  if not redis.acl_check_cmd(unpack(words)) then table.insert(missing, string.lower(words[1])) end
end
if #missing == 0 then return 'ok' end
return redis.error_reply("NOPERM the user may not run the '" .. table.concat(missing, ', ') .. "' command")
