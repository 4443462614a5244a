-- Adds labels to a session's and its subject's bucket: whole or not at all, in one step of the server.
-- KEYS: session bucket, subject bucket
-- ARGV: epoch to set if there is none, most labels a bucket may hold,
--       idle and absolute lifetime of session labels, lifetime of subject labels (ms; 0: does not end; -1: ends at once),
--       name of the epoch's key, number of session labels, session labels..., subject labels...
-- A bucket is a hash: label -> "<last use> <idle lifetime> <end>" in ms, 0: does not end.
-- The epoch is no key of KEYS because in a cluster it lies in another slot of the same server; where it does not, this fails
-- before anything is written.
local epoch = redis.call('GET', ARGV[6])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function text(n) return string.format('%.0f', n) end
local function longer(a, b) if a == 0 or b == 0 then return 0 end return math.max(a, b) end
local function after(start, duration) if duration == 0 then return 0 end return start + duration end
local function end_of(life)
  local idle = after(life.touched, life.idle)
  if idle == 0 then return life.ends end
  if life.ends == 0 then return idle end
  return math.min(idle, life.ends)
end

local function plan(key, from, to, idle, ends)
  local held, ended, count = {}, {}, 0
  local flat = redis.call('HGETALL', key)
  for i = 1, #flat, 2 do
    local touched, idle_of, ends_of = string.match(flat[i + 1], '^(%d+) (%d+) (%d+)$')
    if not touched then return nil end
    local life = { touched = tonumber(touched), idle = tonumber(idle_of), ends = tonumber(ends_of) }
    local at = end_of(life)
    if at == 0 or at > now then
      -- An append is a use of the session.
      if life.idle ~= 0 then life.touched = math.max(life.touched, now) end
      held[flat[i]] = life
      count = count + 1
    else
      table.insert(ended, flat[i])
    end
  end
  for i = from, to do
    local life = held[ARGV[i]]
    if life then
      held[ARGV[i]] = { touched = math.max(life.touched, now), idle = longer(life.idle, idle), ends = longer(life.ends, ends) }
    else
      held[ARGV[i]] = { touched = now, idle = idle, ends = ends }
      count = count + 1
    end
  end
  if count > tonumber(ARGV[2]) then return nil end
  return { held = held, ended = ended }
end

local function write(key, planned)
  local last = -1
  for _, label in ipairs(planned.ended) do redis.call('HDEL', key, label) end
  for label, life in pairs(planned.held) do
    redis.call('HSET', key, label, text(life.touched) .. ' ' .. text(life.idle) .. ' ' .. text(life.ends))
    if last ~= 0 then
      local at = end_of(life)
      if at == 0 then last = 0 else last = math.max(last, at) end
    end
  end
  -- The server removes a bucket when its last label has ended.
  if last == 0 then redis.call('PERSIST', key) elseif last > 0 then redis.call('PEXPIREAT', key, text(last)) end
end

local split = 7 + tonumber(ARGV[7])
local subject_life = tonumber(ARGV[5])
local subject_ends = after(now, subject_life)
if subject_life < 0 then subject_ends = now end
local session = plan(KEYS[1], 8, split, tonumber(ARGV[3]), after(now, tonumber(ARGV[4])))
local subject = plan(KEYS[2], split + 1, #ARGV, 0, subject_ends)
if not session or not subject then return { 0, '', '0', {}, {} } end
write(KEYS[1], session)
local of_session = redis.call('HGETALL', KEYS[1])
write(KEYS[2], subject)
local of_subject = redis.call('HGETALL', KEYS[2])
-- Also what makes every append a write, so that WAITAOF waits for it and for all before it.
if not epoch then epoch = ARGV[1] end
redis.call('SET', ARGV[6], epoch)
return { 1, epoch, text(now), of_session, of_subject }
