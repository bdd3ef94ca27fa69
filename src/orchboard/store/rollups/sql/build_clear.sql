-- Deletes the contents of a bucket.
-- $1 granularity, $2 start
WITH s AS (DELETE FROM rollup_sums WHERE granularity = $1 AND bucket_start = $2),
p AS (DELETE FROM rollup_pipelines WHERE granularity = $1 AND bucket_start = $2)
DELETE FROM rollup_round_trips WHERE granularity = $1 AND bucket_start = $2;
