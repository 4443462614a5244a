-- Notes that a session is used.
-- KEYS: session bucket
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local last = -1
local flat = redis.call('HGETALL', KEYS[1])
for i = 1, #flat, 2 do
  local touched, idle, ends = string.match(flat[i + 1], '^(%d+) (%d+) (%d+)$')
  if touched then
    touched, idle, ends = tonumber(touched), tonumber(idle), tonumber(ends)
    local live = (idle == 0 or touched + idle > now) and (ends == 0 or ends > now)
    if live then
      touched = math.max(touched, now)
      redis.call('HSET', KEYS[1], flat[i], string.format('%.0f %.0f %.0f', touched, idle, ends))
      local at = ends
      if idle ~= 0 and (ends == 0 or touched + idle < ends) then at = touched + idle end
      if at == 0 then last = 0 elseif last ~= 0 then last = math.max(last, at) end
    end
  end
end
if last > 0 then redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', last)) end
return 1
