-- How many results were received from one moment on and before another.
-- $1, $2 the moments
-- Returns one row (count).
SELECT count(*) FROM results WHERE event_time >= $1 AND event_time < $2;
