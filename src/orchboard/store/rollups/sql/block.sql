-- The results of a sealed span, for the edge of a window that lies within it.
-- $1 level, $2 start
-- Returns one row: revision and is_sealed of the span (null: it is not there), and its results as `sync` has them.
SELECT
    (SELECT revision FROM spans WHERE level = $1 AND span_start = $2) AS revision,
    (SELECT is_sealed FROM spans WHERE level = $1 AND span_start = $2) AS is_sealed,
    r.*
FROM (
    SELECT
        string_agg(timestamptz_send(e.event_time), '') AS event_time,
        string_agg(e.key, '') AS keys,
        string_agg(int4send(octet_length(e.key)), '') AS key_lengths,
        string_agg(float8send(e.success_rate), '') AS success_rate,
        string_agg(float8send(e.seg_duration), '') AS seg_duration,
        string_agg(float8send(e.round_trip_time), '') AS round_trip_time,
        string_agg(boolsend(e.is_scored), '') AS is_scored
    FROM (
        SELECT event_time, success_rate, seg_duration, round_trip_time, is_scored,
               int4send(region_id) || convert_to(lower(orchestrator), 'UTF8') || '\x00'
                   || convert_to(pipeline, 'UTF8') || '\x00' || convert_to(model, 'UTF8') AS key
        FROM results
        WHERE event_time >= $2
          AND event_time < (SELECT span_end FROM spans WHERE level = $1 AND span_start = $2)
          AND region_id IS NOT NULL
        ORDER BY event_time
    ) e
) r;
