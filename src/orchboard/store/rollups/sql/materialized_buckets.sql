-- The materialized buckets that overlap a range, of the time whose results are kept.
-- $1 since, $2 until (excluded)
-- Returns granularity, bucket_start, bucket_end, ordered by start; no rows if there are none.
SELECT granularity, bucket_start, bucket_end
FROM rollup_buckets
WHERE is_materialized AND bucket_start < $2 AND bucket_end > $1 AND bucket_start >= results_kept_since()
ORDER BY bucket_start, granularity;
