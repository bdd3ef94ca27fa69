-- Means of the scored transcoding results in a window, one row an orchestrator and region.
-- Results without an orchestrator, and those their tester calls unscored, are left out.
-- $1 since, $2 until, $3 region, $4 orchestrator (null: any)
-- Returns orchestrator (lower case), region, success_rate, seg_duration, round_trip_time; none when there is nothing.
SELECT
    lower(e.orchestrator) AS orchestrator,
    r.name AS region,
    avg(payload_number(e.payload, 'success_rate')) AS success_rate,
    avg(payload_number(e.payload, 'seg_duration')) AS seg_duration,
    avg(payload_number(e.payload, 'round_trip_time')) AS round_trip_time
FROM events e
JOIN regions r ON r.id = e.region_id
JOIN job_types j ON j.id = r.job_type_id
WHERE j.name = 'transcoding'
  AND e.event_time BETWEEN $1 AND $2
  AND ($3::text IS NULL OR r.name = $3)
  AND ($4::text IS NULL OR lower(e.orchestrator) = $4)
  AND e.orchestrator <> ''
  AND (e.payload ->> 'test_outcome' LIKE 'unscored%') IS NOT TRUE
GROUP BY lower(e.orchestrator), r.name
ORDER BY lower(e.orchestrator), r.name;
