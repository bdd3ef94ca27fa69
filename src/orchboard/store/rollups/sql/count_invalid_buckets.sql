-- How many buckets are to be built again, including those of pending invalidations.
-- Returns one row (number).
SELECT count(*) AS number
FROM rollup_buckets
CROSS JOIN (
    SELECT range_agg(tstzrange(greatest(since, k.kept_since), until, '[]')) AS ranges
    FROM rollup_invalidations, results_kept_since() AS k (kept_since)
    WHERE NOT is_applied AND until >= k.kept_since
) pending
WHERE NOT is_materialized OR tstzrange(bucket_start, bucket_end) && pending.ranges;
