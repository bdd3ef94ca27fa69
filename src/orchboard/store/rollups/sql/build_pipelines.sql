-- Stores the pipelines and models that have a scored result in a bucket, with its region.
-- $1 granularity, $2 start, $3 end
INSERT INTO rollup_pipelines (granularity, bucket_start, pipeline, model, region_id)
SELECT DISTINCT $1::smallint, $2::timestamptz, e.listed_pipeline, e.listed_model, e.region_id
FROM scored_results e
WHERE e.event_time >= $2 AND e.event_time < $3 AND e.listed_pipeline <> '' AND e.listed_model <> '';
