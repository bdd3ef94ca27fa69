-- Inserts results that may exist, all or none of those that do not, on any node of a distributed board.
-- `replicated`: see `insert_once`; it is written by the node that runs the statement.
-- Arrays with one item per result:
-- $1 orchestrator (lower case), $2 region id, $3 payload (JSON text), $4 tester id or null, $5 receipt time,
-- $6 id from `allocate_ids`
-- Returns nothing.
WITH replicated AS MATERIALIZED (
    SELECT pg_logical_emit_message(TRUE, 'orchboard', '') AS lsn
)
INSERT INTO events (id, event_time, orchestrator, region_id, payload, tester_id)
SELECT id, event_time, orchestrator, region_id, payload::jsonb, tester_id
FROM unnest(
    $1::text[], $2::integer[], $3::text[], $4::integer[], $5::timestamptz[], $6::bigint[]
) AS given (orchestrator, region_id, payload, tester_id, event_time, id)
WHERE (SELECT lsn FROM replicated) IS NOT NULL
ON CONFLICT (orchestrator, event_time, id) DO NOTHING;
