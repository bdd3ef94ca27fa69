-- The receipt time of the first result at or after a time; ignores the future.
-- $1 time
-- Returns event_time; no row if there is none.
SELECT event_time FROM results WHERE event_time >= $1 AND event_time <= now() ORDER BY event_time LIMIT 1;
