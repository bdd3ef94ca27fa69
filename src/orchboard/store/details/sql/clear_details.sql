-- Deletes the details of a bucket.
-- $1 granularity, $2 start
DELETE FROM rollup_details WHERE granularity = $1 AND bucket_start = $2;
