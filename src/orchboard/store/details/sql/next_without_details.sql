-- The latest materialized bucket of the shortest granularity whose details are missing or outdated.
-- $1 granularities, $2 the earliest start of each: arrays of equal length
-- Returns granularity, bucket_start, bucket_end, results, revision; locked until the end of the transaction, so that no invalidation
-- is applied to it before. No row if there is none, or others are building them.
SELECT b.granularity, b.bucket_start, b.bucket_end, b.results, b.revision
FROM rollup_buckets b
JOIN unnest($1::smallint[], $2::timestamptz[]) AS g (granularity, since) ON g.granularity = b.granularity
WHERE b.bucket_start >= g.since AND b.is_materialized AND b.details_revision IS DISTINCT FROM b.revision
ORDER BY b.granularity, b.bucket_start DESC
LIMIT 1
FOR UPDATE OF b SKIP LOCKED;
