-- Forgets the keys of results received before a moment.
-- $1 the moment
-- Returns one row: how many there were.
WITH expired AS (DELETE FROM idempotency_keys WHERE event_time < $1 RETURNING 1)
SELECT count(*) AS number FROM expired;
