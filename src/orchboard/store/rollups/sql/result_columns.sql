-- The columns of the results in `chosen`, in the order of receipt; included in `tail_results` and `edge_results`.
-- Returns one row of bytea: event_time (microseconds since 2000, 8 bytes each), keys (a ResultKey each), key_lengths (4 bytes
-- each), is_scored (1 byte each), and each measure (doubles); big-endian; all null without a result. Arrays of text would cost
-- a Python object for each element.
SELECT
    string_agg(timestamptz_send(e.event_time), '') AS event_time,
    string_agg(e.key, '') AS keys,
    string_agg(int4send(octet_length(e.key)), '') AS key_lengths,
    string_agg(boolsend(e.is_scored), '') AS is_scored,
    {each measure: string_agg(float8send(e.@), '') AS @}
FROM (
    SELECT event_time, is_scored, {each measure: @},
           int4send(region_id) || convert_to(lower(orchestrator), 'UTF8') || '\x00'
               || convert_to(pipeline, 'UTF8') || '\x00' || convert_to(model, 'UTF8') AS key
    FROM chosen
    ORDER BY event_time
    OFFSET 0  -- keeps the order: several nodes would aggregate in parts
) e;
