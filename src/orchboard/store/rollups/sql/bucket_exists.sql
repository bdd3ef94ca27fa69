-- Whether a bucket exists, materialized or not.
-- $1 granularity, $2 start
-- Returns one row (boolean).
SELECT EXISTS (SELECT FROM rollup_buckets WHERE granularity = $1 AND bucket_start = $2);
