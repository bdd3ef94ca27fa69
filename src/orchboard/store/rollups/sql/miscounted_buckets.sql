-- Materialized buckets of a granularity, of the time whose results are kept, whose number of results has changed since they were built, without an invalidation.
-- $1 granularity, $2 since, $3 until
-- Returns bucket_start, bucket_end.
SELECT b.bucket_start, b.bucket_end
FROM rollup_buckets b
WHERE b.granularity = $1 AND b.bucket_start >= $2 AND b.bucket_start < $3 AND b.is_materialized
  AND b.bucket_start >= results_kept_since()
  AND b.results <> (
      SELECT count(*) FROM results e WHERE e.event_time >= b.bucket_start AND e.event_time < b.bucket_end
  );
