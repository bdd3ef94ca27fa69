-- Deletes the buckets of a granularity that end before a time; longer ones hold the same results.
-- $1 granularity, $2 time
WITH old AS (DELETE FROM rollup_buckets WHERE granularity = $1 AND bucket_end <= $2 RETURNING bucket_start),
s AS (DELETE FROM rollup_sums WHERE granularity = $1 AND bucket_start IN (SELECT bucket_start FROM old)),
p AS (DELETE FROM rollup_pipelines WHERE granularity = $1 AND bucket_start IN (SELECT bucket_start FROM old))
DELETE FROM rollup_round_trips WHERE granularity = $1 AND bucket_start IN (SELECT bucket_start FROM old);
