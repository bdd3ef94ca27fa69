-- The first bucket of a granularity that has ended and is not materialized.
-- $1 granularity, $2 time before which it must have ended
-- Returns bucket_start; no row if there is none.
SELECT bucket_start FROM rollup_buckets
WHERE NOT is_materialized AND granularity = $1 AND bucket_end <= $2
ORDER BY bucket_start
LIMIT 1;
