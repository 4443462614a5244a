-- Changes one document. KEYS[1]: the document. ARGV: start of group keys, member, expected version, document, end in ms,
-- now in ms, room ('' for none), most members, then the groups.
local held = redis.call('HMGET', KEYS[1], 'v', 'e', 'g')
local version = 0
if held[1] and tonumber(held[2]) > tonumber(ARGV[6]) then
  version = tonumber(held[1])
end
if version ~= tonumber(ARGV[3]) then
  return 0
end
if ARGV[7] ~= '' then
  local room = ARGV[1] .. ARGV[7]
  redis.call('ZREMRANGEBYSCORE', room, '-inf', ARGV[6])
  local count = redis.call('ZCARD', room)
  if redis.call('ZSCORE', room, ARGV[2]) then
    count = count - 1
  end
  if count >= tonumber(ARGV[8]) then
    return -1
  end
end
if held[3] then
  for group in string.gmatch(held[3], '[^\n]+') do
    redis.call('ZREM', ARGV[1] .. group, ARGV[2])
  end
end
local groups = {}
for at = 9, #ARGV do
  local name = ARGV[1] .. ARGV[at]
  table.insert(groups, ARGV[at])
  redis.call('ZADD', name, ARGV[5], ARGV[2])
  -- A group lives as long as its last member.
  local last = redis.call('ZREVRANGE', name, 0, 0, 'WITHSCORES')
  redis.call('PEXPIREAT', name, string.format('%.0f', tonumber(last[2])))
end
redis.call('HSET', KEYS[1], 'v', version + 1, 'e', ARGV[5], 't', ARGV[4], 'g', table.concat(groups, '\n'))
redis.call('PEXPIREAT', KEYS[1], ARGV[5])
return 1
