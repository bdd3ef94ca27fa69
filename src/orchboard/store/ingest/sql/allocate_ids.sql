-- Allocates ids for `events` and reads the clock.
-- $1 number of ids
-- Returns one row: now, ids (ascending array; null for 0).
SELECT now() AS now, array_agg(nextval('events_id_seq')) AS ids FROM generate_series(1, $1::integer);
