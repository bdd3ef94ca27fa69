-- When the first result from a moment on was received; the future counts as empty.
-- $1 moment
-- Returns event_time; none when there is none.
SELECT event_time FROM results WHERE event_time >= $1 AND event_time <= now() ORDER BY event_time LIMIT 1;
