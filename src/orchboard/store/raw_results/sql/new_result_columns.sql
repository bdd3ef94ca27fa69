-- The results in `keys` (event_time, id, orchestrator), as `new_results` returns them; included in it and in
-- `new_results_on_nodes`.
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
