-- The last bucket of a granularity that starts before a time.
-- $1 granularity, $2 time
-- Returns one row (bucket_start), null if there is none.
SELECT max(bucket_start) AS bucket_start FROM rollup_buckets WHERE granularity = $1 AND bucket_start < $2;
