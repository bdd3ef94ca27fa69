-- Adds buckets that are to be built, unless they exist.
-- $1 granularities, $2 starts, $3 ends: arrays of equal length
INSERT INTO rollup_buckets (granularity, bucket_start, bucket_end, is_materialized)
SELECT granularity, bucket_start, bucket_end, FALSE
FROM unnest($1::smallint[], $2::timestamptz[], $3::timestamptz[]) AS b (granularity, bucket_start, bucket_end)
ON CONFLICT (granularity, bucket_start) DO NOTHING;
