-- The latest materialized bucket of a granularity whose details are missing or outdated.
-- $1 granularity, $2 the earliest start
-- Returns bucket_start, bucket_end, results, revision; locked until the end of the transaction, so that no invalidation is applied to
-- it before. No row if there is none, or others are building them.
SELECT bucket_start, bucket_end, results, revision
FROM rollup_buckets
WHERE granularity = $1 AND bucket_start >= $2 AND is_materialized AND details_revision IS DISTINCT FROM revision
ORDER BY bucket_start DESC
LIMIT 1
FOR UPDATE SKIP LOCKED;
