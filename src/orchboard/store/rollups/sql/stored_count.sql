-- The number of results that a bucket was built from.
-- $1 granularity, $2 start
-- Returns one row (results); no row without that bucket.
SELECT results FROM rollup_buckets WHERE granularity = $1 AND bucket_start = $2;
