-- When the last result before a moment, and not before another, was received.
-- $1 moment, $2 earliest
-- Returns event_time; none when there is none.
SELECT event_time FROM results WHERE event_time < $1 AND event_time >= $2 ORDER BY event_time DESC LIMIT 1;
