-- The pipelines seen in a window with the models and regions they were seen with.
-- Results that lack a pipeline or a model are no pipeline's.
-- $1 since, $2 until, $3 region (null: any)
-- Returns pipeline, models (sorted array), regions (sorted array); none when there is nothing.
SELECT
    e.payload ->> 'pipeline' AS pipeline,
    array_agg(DISTINCT e.payload ->> 'model' COLLATE "C" ORDER BY e.payload ->> 'model' COLLATE "C") AS models,
    array_agg(DISTINCT r.name::text COLLATE "C" ORDER BY r.name::text COLLATE "C") AS regions
FROM events e
JOIN regions r ON r.id = e.region_id
WHERE e.event_time BETWEEN $1 AND $2
  AND ($3::text IS NULL OR r.name = $3)
  AND e.payload ->> 'pipeline' <> ''
  AND e.payload ->> 'model' <> ''
GROUP BY e.payload ->> 'pipeline'
ORDER BY e.payload ->> 'pipeline' COLLATE "C";
