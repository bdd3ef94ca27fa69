-- Deletes the Idempotency-Keys of results received before a time.
-- $1 the time
-- Returns one row: the number of deleted keys.
WITH expired AS (DELETE FROM idempotency_keys WHERE event_time < $1 RETURNING 1)
SELECT count(*) AS number FROM expired;
