-- Which pipelines and models have a scored result where, in times that are not summed up, nor held in memory.
-- Results that lack a pipeline or a model are no pipeline's.
-- $1 since, $2 until (before), arrays of as many
-- Returns pipeline, model, region_id, each combination once.
SELECT DISTINCT e.pipeline, e.model, e.region_id
FROM unnest($1::timestamptz[], $2::timestamptz[]) AS p (since, until)
CROSS JOIN LATERAL (
    SELECT region_id, pipeline, model
    FROM results
    WHERE event_time >= p.since AND event_time < p.until
      AND pipeline <> '' AND model <> '' AND region_id IS NOT NULL
      AND is_scored AND orchestrator <> ''
    OFFSET 0  -- keeps the planner at the index, also without statistics
) e;
