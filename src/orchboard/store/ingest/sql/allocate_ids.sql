-- Takes ids for results to come, and looks at the clock.
-- $1 how many
-- Returns one row: now, ids (array, rising; null when none were asked for).
SELECT now() AS now, array_agg(nextval('events_id_seq')) AS ids FROM generate_series(1, $1::integer);
