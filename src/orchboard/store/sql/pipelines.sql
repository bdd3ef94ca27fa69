-- The pipelines seen in a window with the models and regions they were seen with.
-- Results that lack a pipeline or a model are no pipeline's.
-- $1 since, $2 until, $3 region (null: any)
-- Returns pipeline, models (sorted array), regions (sorted array); none when there is nothing.
WITH parts AS MATERIALIZED (
    SELECT level, part_start, part_end FROM window_parts($1, $2)
),
seen AS (
    SELECT s.pipeline, s.model, s.region_id
    FROM parts p
    CROSS JOIN LATERAL (
        SELECT pipeline, model, region_id FROM pipelines_seen WHERE level = p.level AND span_start = p.part_start OFFSET 0
    ) s
    UNION
    SELECT e.pipeline, e.model, e.region_id
    FROM parts p
    JOIN results e ON e.event_time >= p.part_start AND e.event_time < p.part_end
    WHERE p.level IS NULL AND e.pipeline <> '' AND e.model <> ''
)
SELECT
    s.pipeline,
    array_agg(DISTINCT s.model COLLATE "C" ORDER BY s.model COLLATE "C") AS models,
    array_agg(DISTINCT r.name::text COLLATE "C" ORDER BY r.name::text COLLATE "C") AS regions
FROM seen s
JOIN regions r ON r.id = s.region_id
WHERE $3::text IS NULL OR r.name = $3
GROUP BY s.pipeline
ORDER BY s.pipeline COLLATE "C";
