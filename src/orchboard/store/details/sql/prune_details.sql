-- Deletes details of a granularity from before a time whose buckets were deleted. Those of a bucket that is left are needed.
-- $1 granularity, $2 time
DELETE FROM rollup_details d
WHERE d.granularity = $1 AND d.bucket_start < $2 AND NOT EXISTS (
    SELECT 1 FROM rollup_buckets b WHERE b.granularity = d.granularity AND b.bucket_start = d.bucket_start
);
