-- As `new_results`, for distributed results: those received between two moments, which stand for snapshots in
-- `read_position_on_nodes`. Without those that are stored later than two seconds after their receipt.
-- Parameters as there
WITH keys AS MATERIALIZED (
    SELECT event_time, id, orchestrator
    FROM events
    WHERE event_time >= $3 AND event_time >= $4::timestamptz AND (event_time, id) > ($5::timestamptz, $6::bigint)
      AND event_time >= timestamptz '2000-01-01 00:00+00' + split_part($1::text, ':', 2)::bigint * interval '1 microsecond'
      AND event_time < timestamptz '2000-01-01 00:00+00' + split_part($2::text, ':', 2)::bigint * interval '1 microsecond'
      AND region_id IN (SELECT r.id FROM regions r JOIN job_types j ON j.id = r.job_type_id WHERE j.name IN ('transcoding', 'ai'))
    ORDER BY event_time, id
    LIMIT $7
)
SELECT
    e.event_time, e.id, lower(e.orchestrator) AS orchestrator, r.name AS region, j.name AS job_type,
    e.ob_pipeline AS pipeline, e.ob_model AS model, t.name AS tester, e.ob_is_scored AS is_scored,
    e.ob_success_rate AS success_rate, e.ob_round_trip_time AS round_trip_time,
    CASE
        WHEN jsonb_typeof(e.payload -> 'errors') = 'array' AND e.payload -> 'errors' <> '[]' THEN ARRAY(
            SELECT left(coalesce(x.error ->> 'error_code', ''), 64)
            FROM jsonb_array_elements(e.payload -> 'errors') WITH ORDINALITY x (error, number)
            WHERE x.number <= 20 AND jsonb_typeof(x.error) = 'object'
            ORDER BY x.number
        )
        ELSE '{}'
    END AS error_codes
FROM keys k
JOIN events e USING (orchestrator, event_time, id)
JOIN regions r ON r.id = e.region_id
JOIN job_types j ON j.id = r.job_type_id
LEFT JOIN testers t ON t.id = e.tester_id
ORDER BY k.event_time, k.id;
