-- Gives an integer to each series of a span that has none.
-- $1 start, $2 end
INSERT INTO series (orchestrator, region_id, pipeline, model)
SELECT g.orchestrator, g.region_id, g.pipeline, g.model
FROM (
    SELECT DISTINCT
        lower(e.orchestrator) AS orchestrator,
        e.region_id,
        CASE WHEN j.name = 'ai' THEN e.pipeline ELSE '' END AS pipeline,
        CASE WHEN j.name = 'ai' THEN e.model ELSE '' END AS model
    FROM results e
    JOIN regions r ON r.id = e.region_id
    JOIN job_types j ON j.id = r.job_type_id
    WHERE e.event_time >= $1 AND e.event_time < $2 AND e.is_scored AND e.orchestrator <> ''
) g
WHERE NOT EXISTS (
    SELECT FROM series s
    WHERE s.orchestrator = g.orchestrator AND s.region_id = g.region_id
      AND s.pipeline = g.pipeline AND s.model = g.model
)
ORDER BY 1, 2, 3, 4
ON CONFLICT DO NOTHING;
