-- The results of one orchestrator and job type, in the order of receipt.
-- $1 orchestrator (lower case), $2 since, $3 until, $4 job type; $5 an earlier time, for `before`; $6 the snapshot of the previous
-- refresh
-- Returns now, the database's clock; snapshot, as in `seen_transactions`; is_changed, whether any results were inserted late, updated or
-- deleted since that refresh; before, the number of results received from $5 on and before $2; and for each result from $2 to
-- $3: event_time (eight bytes, microseconds since 2000), region (code), pipeline, model, payload (text). Without results, one
-- row with nulls.
WITH matching_regions AS MATERIALIZED (
    SELECT r.id, r.name
    FROM regions r JOIN job_types j ON j.id = r.job_type_id
    WHERE j.name = $4::text
),
-- Addresses that another program wrote in mixed case. Read with the payload: the planner has no statistics about them, and would
-- otherwise read the whole index of times.
mixed_case AS MATERIALIZED (
    SELECT id, event_time, region_id, pipeline, model, payload
    FROM results
    WHERE lower(orchestrator) = $1::text AND orchestrator <> lower(orchestrator) AND event_time BETWEEN $5 AND $3
),
found AS NOT MATERIALIZED (
    SELECT id, event_time, region_id, pipeline, model, payload FROM results WHERE orchestrator = $1::text
    UNION ALL
    SELECT * FROM mixed_case
)
SELECT
    now() AS now, {include seen_transactions} AS snapshot,
    EXISTS (
        SELECT 1 FROM rollup_invalidations
        WHERE xid >= pg_snapshot_xmin($6::text::pg_snapshot) AND NOT pg_visible_in_snapshot(xid, $6::text::pg_snapshot)
    ) AS is_changed,
    c.before, e.event_time, e.region, e.pipeline, e.model, e.payload
FROM (
    SELECT count(*) AS before
    FROM found
    WHERE event_time >= $5 AND event_time < $2 AND region_id = ANY(ARRAY(SELECT id FROM matching_regions))
) c
-- A single row joined with a list has only one join order, so the list keeps its order.
LEFT JOIN LATERAL (
    SELECT timestamptz_send(f.event_time) AS event_time, p.name AS region, f.pipeline, f.model, f.payload::text AS payload
    FROM found f JOIN matching_regions p ON p.id = f.region_id
    WHERE f.event_time BETWEEN $2 AND $3 AND f.region_id = ANY(ARRAY(SELECT id FROM matching_regions))
    ORDER BY f.event_time, f.id
) e ON true;
