-- The pipelines and models that have a scored result in ranges without a rollup, with its region.
-- $1 since, $2 until (excluded): arrays of equal length
-- Returns pipeline, model, region_id, each combination once.
SELECT DISTINCT e.pipeline, e.model, e.region_id
FROM unnest($1::timestamptz[], $2::timestamptz[]) AS p (since, until)
CROSS JOIN LATERAL (
    SELECT region_id, listed_pipeline AS pipeline, listed_model AS model
    FROM scored_results
    WHERE event_time >= p.since AND event_time < p.until AND listed_pipeline <> '' AND listed_model <> ''
    OFFSET 0  -- makes a planner without statistics use the index
) e;
