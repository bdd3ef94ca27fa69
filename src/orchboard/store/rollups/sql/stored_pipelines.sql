-- The pipelines and models of one bucket.
-- $1 granularity, $2 start
-- Returns pipeline, model, region_id; no rows if it has none.
SELECT pipeline, model, region_id FROM rollup_pipelines WHERE granularity = $1 AND bucket_start = $2;
