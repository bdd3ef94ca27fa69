-- Which pipelines and models were seen where, in times that are not summed up, nor held in memory.
-- Results that lack a pipeline or a model are no pipeline's.
-- $1 since, $2 until (before), arrays of as many
-- Returns pipeline, model, region_id, each combination once.
SELECT DISTINCT e.pipeline, e.model, e.region_id
FROM unnest($1::timestamptz[], $2::timestamptz[]) AS p (since, until)
JOIN results e ON e.event_time >= p.since AND e.event_time < p.until
WHERE e.pipeline <> '' AND e.model <> '' AND e.region_id IS NOT NULL;
