-- How many buckets are to be built again, including those of pending invalidations.
-- Returns one row (number).
SELECT count(*) AS number
FROM rollup_buckets
CROSS JOIN (
    SELECT range_agg(tstzrange(since, until, '[]')) AS ranges FROM rollup_invalidations WHERE NOT is_applied
) pending
WHERE NOT is_materialized OR tstzrange(bucket_start, bucket_end) && pending.ranges;
