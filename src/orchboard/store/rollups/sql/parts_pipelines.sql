-- Stores the pipelines and models of a bucket from those of the shorter buckets inside it.
-- $1 granularity, $2 start, $3 end, $4 granularity of the shorter ones
INSERT INTO rollup_pipelines (granularity, bucket_start, pipeline, model, region_id)
SELECT DISTINCT $1::smallint, $2::timestamptz, pipeline, model, region_id
FROM rollup_pipelines
WHERE granularity = $4 AND bucket_start >= $2 AND bucket_start < $3;
