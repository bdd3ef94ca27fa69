-- The number of results received in an interval.
-- $1 since (inclusive), $2 until (exclusive)
-- Returns one row (count).
SELECT count(*) FROM results WHERE event_time >= $1 AND event_time < $2;
