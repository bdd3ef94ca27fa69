-- The digests of the bodies that Idempotency-Keys were first used with.
-- $1 keys (array)
-- Returns one row (key, body_digest) for each key that is known; none for one that has expired.
SELECT key, body_digest FROM idempotency_keys WHERE key = ANY($1::text[]);
