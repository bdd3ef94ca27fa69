-- The stored results of one orchestrator and job type, in the order of receipt.
-- $1 orchestrator (lower case), $2 since, $3 until, $4 job type; $5 an earlier moment; $6 the snapshot of an earlier
-- reading
-- Returns now, the database's clock; snapshot, as `snapshot` has it; is_changed, whether anybody's results were inserted late,
-- updated or deleted since that reading; before, how many there are from $5 on and before $2; and for each result from $2
-- to $3: event_time (eight bytes, microseconds since 2000), region (code), pipeline, model, payload (text). Without any,
-- one row with nulls.
WITH places AS MATERIALIZED (
    SELECT r.id, r.name
    FROM regions r JOIN job_types j ON j.id = r.job_type_id
    WHERE j.name = $4::text
),
-- Those whose address others wrote in another case. Read with the payload, as the planner, who knows nothing about them,
-- else reads the index of times from end to end.
others AS MATERIALIZED (
    SELECT id, event_time, region_id, pipeline, model, payload
    FROM results
    WHERE lower(orchestrator) = $1::text AND orchestrator <> lower(orchestrator) AND event_time BETWEEN $5 AND $3
),
found AS NOT MATERIALIZED (
    SELECT id, event_time, region_id, pipeline, model, payload FROM results WHERE orchestrator = $1::text
    UNION ALL
    SELECT * FROM others
)
SELECT
    now() AS now, pg_current_snapshot()::text AS snapshot,
    EXISTS (
        SELECT FROM rollup_invalidations WHERE NOT pg_visible_in_snapshot(xid, $6::text::pg_snapshot)
    ) AS is_changed,
    c.before, e.event_time, e.region, e.pipeline, e.model, e.payload
FROM (
    SELECT count(*) AS before
    FROM found
    WHERE event_time >= $5 AND event_time < $2 AND region_id = ANY(ARRAY(SELECT id FROM places))
) c
-- One row and a list: there is no other way to join them, so the list keeps its order.
LEFT JOIN LATERAL (
    SELECT timestamptz_send(f.event_time) AS event_time, p.name AS region, f.pipeline, f.model, f.payload::text AS payload
    FROM found f JOIN places p ON p.id = f.region_id
    WHERE f.event_time BETWEEN $2 AND $3 AND f.region_id = ANY(ARRAY(SELECT id FROM places))
    ORDER BY f.event_time, f.id
) e ON true;
