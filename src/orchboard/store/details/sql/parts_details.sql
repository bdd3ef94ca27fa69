-- The details of one orchestrator in the shorter buckets inside a bucket.
-- $1 granularity of the shorter ones, $2 start, $3 end, $4 orchestrator, $5 whether with round trips
-- Returns entries, round_trips (null if they are not wanted), errors.
SELECT entries, CASE WHEN $5::boolean THEN round_trips END AS round_trips, errors
FROM rollup_details
WHERE granularity = $1 AND bucket_start >= $2 AND bucket_start < $3 AND orchestrator = $4;
