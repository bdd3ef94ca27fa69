-- The latest results of one orchestrator and job type, newest first.
-- $1 orchestrator (lower case), $2 since, $3 until, $4 job type, $5 how many; $6 region (code), $7 pipeline, $8 model;
-- null: any
-- Returns event_time, region (code), pipeline, model, is_scored and members: the payload without its large members, as
-- text. Without any, no row.
WITH places AS MATERIALIZED (
    SELECT r.id, r.name
    FROM regions r JOIN job_types j ON j.id = r.job_type_id
    WHERE j.name = $4::text AND ($6::text IS NULL OR r.name = $6)
),
-- Those whose address others wrote in another case have an index of their own.
latest AS (
    (
        SELECT id, event_time, region_id, pipeline, model, is_scored, payload
        FROM results
        WHERE orchestrator = $1::text AND event_time BETWEEN $2 AND $3
          AND region_id = ANY(ARRAY(SELECT id FROM places))
          AND ($7::text IS NULL OR pipeline = $7) AND ($8::text IS NULL OR model = $8)
        ORDER BY event_time DESC, id DESC
        LIMIT $5::integer
    )
    UNION ALL
    (
        SELECT id, event_time, region_id, pipeline, model, is_scored, payload
        FROM results
        WHERE lower(orchestrator) = $1::text AND orchestrator <> lower(orchestrator) AND event_time BETWEEN $2 AND $3
          AND region_id = ANY(ARRAY(SELECT id FROM places))
          AND ($7::text IS NULL OR pipeline = $7) AND ($8::text IS NULL OR model = $8)
        ORDER BY event_time DESC, id DESC
        LIMIT $5::integer
    )
)
SELECT l.event_time, p.name AS region, l.pipeline, l.model, l.is_scored,
       jsonb_build_object(
           'success_rate', l.payload -> 'success_rate', 'round_trip_time', l.payload -> 'round_trip_time',
           'errors', l.payload -> 'errors', 'test_outcome', l.payload -> 'test_outcome',
           'unscored_reason', l.payload -> 'unscored_reason'
       )::text AS members
FROM latest l JOIN places p ON p.id = l.region_id
ORDER BY l.event_time DESC, l.id DESC
LIMIT $5;
