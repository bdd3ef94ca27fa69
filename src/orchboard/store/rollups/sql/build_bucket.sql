-- Marks a bucket as materialized. The first statement of its build: a concurrent invalidation of the bucket waits for this
-- transaction, or this statement for that one.
-- $1 granularity, $2 start, $3 end
INSERT INTO rollup_buckets (granularity, bucket_start, bucket_end, is_materialized)
VALUES ($1, $2, $3, true)
ON CONFLICT (granularity, bucket_start) DO UPDATE SET is_materialized = true, revision = DEFAULT;
