-- Stores the number of all results of a bucket, scored or not. Returns one row (results).
-- $1 granularity, $2 start, $3 end
UPDATE rollup_buckets
SET results = (SELECT count(*) FROM results e WHERE e.event_time >= $2 AND e.event_time < $3)
WHERE granularity = $1 AND bucket_start = $2
RETURNING results;
