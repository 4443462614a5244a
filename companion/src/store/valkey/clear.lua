-- Removes buckets and changes the epoch, in one step: labels that are gone under an epoch that is still in force would not be
-- appended again.
-- KEYS: buckets
-- ARGV: new epoch, names of the epoch's keys (in a cluster all that this server may hold, see `append.lua`)
for at = 2, #ARGV do redis.call('SET', ARGV[at], ARGV[1]) end
for _, key in ipairs(KEYS) do redis.call('UNLINK', key) end
return 1
