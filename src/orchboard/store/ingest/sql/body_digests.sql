-- The digests of the bodies that Idempotency-Keys were first used with.
-- $1 keys (array)
-- Returns one row per key: key, body_digest, and the primary key of the result that it was reserved for (result_event_time,
-- result_id), null if it was stored with its result. No row for a key that is unknown or has expired.
SELECT key, body_digest, result_event_time, result_id FROM idempotency_keys WHERE key = ANY($1::text[]);
