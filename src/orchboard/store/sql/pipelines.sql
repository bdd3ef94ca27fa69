-- The pipelines seen in a window with the models and regions they were seen with.
-- Results that lack a pipeline or a model are no pipeline's.
-- $1 since, $2 until, $3 region (null: any)
-- Returns pipeline, models (sorted array), regions (sorted array); none when there is nothing.
WITH seen AS (
    SELECT DISTINCT
        (e.payload ->> 'pipeline') COLLATE "C" AS pipeline,
        (e.payload ->> 'model') COLLATE "C" AS model,
        r.name::text COLLATE "C" AS region
    FROM events e
    JOIN regions r ON r.id = e.region_id
    WHERE e.event_time BETWEEN $1 AND $2
      AND ($3::text IS NULL OR r.name = $3)
      AND e.payload ->> 'pipeline' <> ''
      AND e.payload ->> 'model' <> ''
)
SELECT
    pipeline,
    array_agg(DISTINCT model ORDER BY model) AS models,
    array_agg(DISTINCT region ORDER BY region) AS regions
FROM seen
GROUP BY pipeline
ORDER BY pipeline;
