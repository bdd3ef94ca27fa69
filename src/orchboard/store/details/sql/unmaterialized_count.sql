-- The number of results received in an interval, up to a maximum. Of one interval, as several nodes can't join a list of them.
-- $1 since (inclusive), $2 until (exclusive), $3 the maximum
-- Returns one row (number).
SELECT count(*) AS number
FROM (SELECT event_time FROM results WHERE event_time >= $1 AND event_time < $2 LIMIT $3) found;
