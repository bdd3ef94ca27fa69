-- The pipelines and models that have a scored result in a range without a rollup, with its region.
-- $1 since, $2 until (excluded)
-- Returns pipeline, model, region_id, each combination once.
SELECT DISTINCT listed_pipeline AS pipeline, listed_model AS model, region_id
FROM scored_results
WHERE event_time >= $1 AND event_time < $2 AND listed_pipeline <> '' AND listed_model <> '';
