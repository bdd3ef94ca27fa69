-- Notes how far a level is summed up.
-- $1 level, $2 sealed since, $3 sealed until
UPDATE sealing SET sealed_since = $2, sealed_until = $3 WHERE level = $1;
