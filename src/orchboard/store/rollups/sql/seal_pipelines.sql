-- Notes which pipelines and models have a scored result where in a span.
-- $1 level, $2 start, $3 end
INSERT INTO pipelines_seen (level, span_start, pipeline, model, region_id)
SELECT DISTINCT $1::smallint, $2::timestamptz, e.pipeline, e.model, e.region_id
FROM results e
WHERE e.event_time >= $2 AND e.event_time < $3 AND e.pipeline <> '' AND e.model <> '' AND e.region_id IS NOT NULL
  AND e.is_scored AND e.orchestrator <> '';
