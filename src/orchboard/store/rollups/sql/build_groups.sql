-- Adds the groups of a bucket that have no id yet.
-- $1 start, $2 end
INSERT INTO rollup_groups (orchestrator, region_id, pipeline, model)
SELECT g.orchestrator, g.region_id, g.pipeline, g.model
FROM (
    SELECT DISTINCT orchestrator, region_id, pipeline, model
    FROM scored_results
    WHERE event_time >= $1 AND event_time < $2 AND job_type_id IS NOT NULL
) g
WHERE NOT EXISTS (
    SELECT FROM rollup_groups s
    WHERE s.orchestrator = g.orchestrator AND s.region_id = g.region_id
      AND s.pipeline = g.pipeline AND s.model = g.model
)
ORDER BY 1, 2, 3, 4
ON CONFLICT DO NOTHING;
