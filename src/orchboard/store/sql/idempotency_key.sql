-- The digest of the body that an Idempotency-Key was first used with.
-- $1 key
-- Returns one row (body_digest), none when the key is unknown or has expired.
SELECT body_digest FROM idempotency_keys WHERE key = $1;
