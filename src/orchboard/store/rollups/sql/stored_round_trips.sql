-- The round trips of one span.
-- $1 level, $2 start
-- Returns pipeline, model, region_id, first_bucket, buckets, round_trips; none when there are none.
SELECT pipeline, model, region_id, first_bucket, buckets, round_trips
FROM round_trips
WHERE level = $1 AND span_start = $2;
