-- Forgets the keys of results received before a moment.
-- $1 the moment
-- Returns nothing.
DELETE FROM idempotency_keys WHERE event_time < $1;
