-- The columns of the results in `chosen`, in the order of receipt; included in `detail_results` and `detail_tail`.
-- Returns one row of bytea, null without a result: event_time (microseconds since 2000, 8 bytes each), keys (region_id and
-- tester_id, 4 bytes each, 0 for no tester; orchestrator in lower case, 0, pipeline, 0, model; in UTF-8), key_lengths (4 bytes
-- each), is_scored and is_warm (1 byte each), errors (JSON arrays [code, message, count]; empty without errors), error_lengths
-- (4 bytes each), and each measure (doubles); big-endian.
SELECT
    string_agg(timestamptz_send(e.event_time), '') AS event_time,
    string_agg(e.key, '') AS keys,
    string_agg(int4send(octet_length(e.key)), '') AS key_lengths,
    string_agg(boolsend(e.is_scored), '') AS is_scored,
    string_agg(boolsend(e.is_warm), '') AS is_warm,
    string_agg(e.errors, '') AS errors,
    string_agg(int4send(octet_length(e.errors)), '') AS error_lengths,
    {each measure: string_agg(float8send(e.@), '') AS @}
FROM (
    SELECT
        r.event_time, r.is_scored, {each measure: r.@},
        coalesce(r.payload -> 'model_is_warm' = 'true', FALSE) AS is_warm,
        int4send(r.region_id) || int4send(coalesce(r.tester_id, 0)) || convert_to(lower(r.orchestrator), 'UTF8') || '\x00'
            || convert_to(r.pipeline, 'UTF8') || '\x00' || convert_to(r.model, 'UTF8') AS key,
        CASE
            WHEN jsonb_typeof(r.payload -> 'errors') = 'array' AND r.payload -> 'errors' <> '[]' THEN (
                SELECT coalesce(convert_to(jsonb_agg(jsonb_build_array(
                    left(coalesce(x.error ->> 'error_code', ''), 64), left(coalesce(x.error ->> 'message', ''), 200),
                    x.error -> 'count'
                ))::text, 'UTF8'), '')
                FROM jsonb_array_elements(r.payload -> 'errors') WITH ORDINALITY x (error, number)
                WHERE x.number <= 20 AND jsonb_typeof(x.error) = 'object'
            )
            ELSE ''
        END AS errors
    FROM chosen r
    ORDER BY r.event_time
    OFFSET 0  -- keeps the order: several nodes would aggregate in parts
) e;
