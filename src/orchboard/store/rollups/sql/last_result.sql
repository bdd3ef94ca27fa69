-- The receipt time of the last result before a time and not before another.
-- $1 time, $2 earliest
-- Returns event_time; no row if there is none.
SELECT event_time FROM results WHERE event_time < $1 AND event_time >= $2 ORDER BY event_time DESC LIMIT 1;
