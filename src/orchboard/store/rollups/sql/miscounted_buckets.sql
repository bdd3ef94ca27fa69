-- Materialized buckets of a granularity, of the time whose results are kept, whose number of results has changed since they were
-- built without an invalidation. One that is pending was committed with its results, so this statement sees both or neither.
-- $1 granularity, $2 since, $3 until
-- Returns bucket_start, bucket_end.
WITH b AS MATERIALIZED (
    SELECT bucket_start, bucket_end, results
    FROM rollup_buckets
    WHERE granularity = $1 AND bucket_start >= $2 AND bucket_start < $3 AND is_materialized
      AND bucket_start >= results_kept_since()
),
counted AS MATERIALIZED (
    SELECT b.bucket_start, count(*) AS results
    FROM b JOIN results e ON e.event_time >= b.bucket_start AND e.event_time < b.bucket_end
    GROUP BY b.bucket_start
)
SELECT b.bucket_start, b.bucket_end
FROM b LEFT JOIN counted c ON c.bucket_start = b.bucket_start
WHERE b.results <> coalesce(c.results, 0)
  AND NOT EXISTS (
      SELECT FROM rollup_invalidations i WHERE NOT i.is_applied AND i.since < b.bucket_end AND i.until >= b.bucket_start
  );
