-- The round trips of the successful AI results in a window, from which a median is taken. Sealed spans with
-- many give only how many there are in each bucket; `round_trip_slices` then reads the bucket that matters.
-- $1 since, $2 until, $3 region, $4 pipeline, $5 model (null: any)
-- Returns pipeline, model, and either round_trips (doubles, in any order) or id, first_bucket, buckets (counts).
WITH parts AS MATERIALIZED (
    SELECT level, part_start, part_end FROM window_parts($1, $2)
)
SELECT
    s.pipeline, s.model,
    CASE WHEN s.buckets IS NOT NULL THEN s.id END AS id,
    s.first_bucket, s.buckets,
    CASE WHEN s.buckets IS NULL THEN s.round_trips END AS round_trips
FROM parts p
CROSS JOIN LATERAL (
    SELECT *
    FROM round_trips
    WHERE level = p.level AND span_start = p.part_start
      AND ($3::text IS NULL OR region_id IN (SELECT id FROM regions WHERE name = $3))
      AND ($4::text IS NULL OR pipeline = $4)
      AND ($5::text IS NULL OR model = $5)
    OFFSET 0
) s
UNION ALL
SELECT
    e.pipeline, e.model, NULL, NULL, NULL, string_agg(float8send(e.round_trip_time), '')
FROM parts p
JOIN results e ON e.event_time >= p.part_start AND e.event_time < p.part_end
WHERE p.level IS NULL
  AND e.region_id IN (
      SELECT r.id FROM regions r JOIN job_types j ON j.id = r.job_type_id
      WHERE j.name = 'ai' AND ($3::text IS NULL OR r.name = $3)
  )
  AND e.is_scored
  AND e.orchestrator <> ''
  AND e.success_rate = 1
  AND e.round_trip_time <> 0
  AND ($4::text IS NULL OR e.pipeline = $4)
  AND ($5::text IS NULL OR e.model = $5)
GROUP BY e.pipeline, e.model;
