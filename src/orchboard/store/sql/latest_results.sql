-- The latest results of an orchestrator and job type, newest first.
-- $1 orchestrator (lower case), $2 since, $3 until, $4 job type, $5 limit; null means any: $6 region (code), $7 pipeline, $8 model
-- Returns event_time, region (code), pipeline, model, is_scored, outcome, unscored_reason (text; null: missing), members
-- (success_rate, round_trip_time and errors of the payload, as JSON text). Empty: there are none.
WITH matching_regions AS MATERIALIZED (
    SELECT r.id, r.name
    FROM regions r JOIN job_types j ON j.id = r.job_type_id
    WHERE j.name = $4::text AND ($6::text IS NULL OR r.name = $6)
),
-- Index-only; the rows are read after LIMIT.
latest AS MATERIALIZED (
    (
        SELECT id, event_time, orchestrator, region_id, pipeline, model
        FROM results
        WHERE orchestrator = $1::text AND event_time BETWEEN $2 AND $3
          AND region_id = ANY(ARRAY(SELECT id FROM matching_regions))
          AND ($7::text IS NULL OR pipeline = $7) AND ($8::text IS NULL OR model = $8)
        ORDER BY event_time DESC, id DESC
        LIMIT $5::integer
    )
    UNION ALL
    -- Results that another program stored with upper-case letters in the address.
    (
        SELECT id, event_time, orchestrator, region_id, pipeline, model
        FROM results
        WHERE lower(orchestrator) = $1::text AND orchestrator <> lower(orchestrator) AND event_time BETWEEN $2 AND $3
          AND region_id = ANY(ARRAY(SELECT id FROM matching_regions))
          AND ($7::text IS NULL OR pipeline = $7) AND ($8::text IS NULL OR model = $8)
        ORDER BY event_time DESC, id DESC
        LIMIT $5::integer
    )
)
SELECT l.event_time, p.name AS region, l.pipeline, l.model, r.is_scored,
       jsonb_build_object(
           'success_rate', r.payload -> 'success_rate', 'round_trip_time', r.payload -> 'round_trip_time',
           'errors', r.payload -> 'errors'
       )::text AS members,
       r.payload ->> 'test_outcome' AS outcome, r.payload ->> 'unscored_reason' AS unscored_reason
FROM (SELECT * FROM latest ORDER BY event_time DESC, id DESC LIMIT $5::integer) l
JOIN results r USING (orchestrator, event_time, id)
JOIN matching_regions p ON p.id = l.region_id
ORDER BY l.event_time DESC, l.id DESC;
