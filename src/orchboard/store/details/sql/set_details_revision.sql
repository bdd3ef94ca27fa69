-- Marks the details of a bucket as built.
-- $1 granularity, $2 start
UPDATE rollup_buckets SET details_revision = revision WHERE granularity = $1 AND bucket_start = $2;
