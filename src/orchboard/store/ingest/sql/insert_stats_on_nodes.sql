-- Inserts results without Idempotency-Keys, or with reserved ones, all or none, on any node of a distributed board. As `insert_stats`;
-- but each result has its receipt time, because their keys were reserved at different times.
-- $1 to $4, $6: see `insert_stats`; $5 receipt times (array)
-- Returns nothing.
INSERT INTO events (id, event_time, orchestrator, region_id, payload, tester_id)
SELECT id::bigint, event_time, orchestrator, region_id::integer, payload::jsonb, tester_id::integer
FROM unnest(
    string_to_array($1::text, chr(30)), string_to_array($2::text, chr(30)), string_to_array($3::text, chr(30)),
    string_to_array($4::text, chr(30), ''), $5::timestamptz[], string_to_array($6::text, ',')
) AS given (orchestrator, region_id, payload, tester_id, event_time, id);
