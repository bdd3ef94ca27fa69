-- Invalidates the materialized buckets that overlap some ranges of receipt time.
-- $1 since, $2 until: arrays of equal length; both ends included
UPDATE rollup_buckets b
SET is_materialized = FALSE, revision = DEFAULT
FROM unnest($1::timestamptz[], $2::timestamptz[]) AS r (since, until)
WHERE b.is_materialized AND b.bucket_start <= r.until AND b.bucket_end > r.since;
