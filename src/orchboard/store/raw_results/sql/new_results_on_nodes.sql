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
{include new_result_columns};
