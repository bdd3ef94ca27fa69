-- Deletes details of a granularity from before a time, when its buckets are deleted.
-- $1 granularity, $2 time
DELETE FROM rollup_details WHERE granularity = $1 AND bucket_start < $2;
