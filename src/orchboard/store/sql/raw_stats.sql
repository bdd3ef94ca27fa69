-- The stored results of one orchestrator and job type, in the order of receipt.
-- $1 orchestrator (lower case), $2 since, $3 until, $4 job type; $5 an earlier moment
-- $6 region (code), $7 pipeline, $8 model; null: any
-- Returns now, the database's clock; before, how many there are from $5 on and before $2; and for each result from $2
-- to $3: event_time (eight bytes, microseconds since 2000), region (code), pipeline, model, payload (text). Without any,
-- one row with nulls.
WITH places AS MATERIALIZED (
    SELECT r.id, r.name
    FROM regions r JOIN job_types j ON j.id = r.job_type_id
    WHERE j.name = $4::text AND ($6::text IS NULL OR r.name = $6)
)
SELECT now() AS now, c.before, e.event_time, p.name AS region, e.pipeline, e.model, e.payload
FROM (
    SELECT count(*) AS before
    FROM results
    WHERE (orchestrator = $1::text OR (lower(orchestrator) = $1::text AND orchestrator <> lower(orchestrator)))
      AND event_time >= $5 AND event_time < $2
      AND region_id = ANY(ARRAY(SELECT id FROM places))
) c
LEFT JOIN LATERAL (
    SELECT timestamptz_send(event_time) AS event_time, region_id, pipeline, model, payload::text AS payload
    FROM results
    WHERE (orchestrator = $1::text OR (lower(orchestrator) = $1::text AND orchestrator <> lower(orchestrator)))
      AND results.event_time BETWEEN $2 AND $3
      AND region_id = ANY(ARRAY(SELECT id FROM places))
      AND ($7::text IS NULL OR pipeline = $7)
      AND ($8::text IS NULL OR model = $8)
    ORDER BY results.event_time, id
) e ON true
LEFT JOIN places p ON p.id = e.region_id;
