-- The digests of the bodies that Idempotency-Keys were first used with.
-- $1 keys (array)
-- Returns one row (key, body_digest) per key; none for a key that is unknown or has expired.
SELECT key, body_digest FROM idempotency_keys WHERE key = ANY($1::text[]);
