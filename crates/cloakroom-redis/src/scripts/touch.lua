-- name:      touch
-- keys:      1 epoch, 2.. sessions
-- arguments: none
-- result:    'ok', now, and for each session 1 (touched), 0 (not alive) or the marker under its key
-- cost:      O(sessions); about 2 us each
local epoch = epoch_of(KEYS[1])
local result = {'ok', now}
for i = 2, #KEYS do
  local head = read_head(KEYS[i])
  local done = 0
  if head and string.byte(head, 1) == 2 then
    done = head
  elseif alive(head, epoch) then
    put_head(KEYS[i], seen_now(head))
    done = 1
  end
  table.insert(result, done)
end
return result
