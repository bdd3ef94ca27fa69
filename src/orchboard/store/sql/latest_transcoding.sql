-- The latest scored transcoding result of each orchestrator and region. Results without an orchestrator are left out.
-- $1 since
-- Returns orchestrator (lower case), region (code), success_rate, upload_time, download_time, transcode_time, round_trip_time; a
-- time that is missing or no number is 0. Empty: there are none.
WITH latest AS (
    SELECT DISTINCT ON (lower(e.orchestrator), e.region_id)
        lower(e.orchestrator) AS orchestrator, r.name AS region, e.success_rate, e.round_trip_time, e.payload
    FROM results e
    JOIN regions r ON r.id = e.region_id
    JOIN job_types j ON j.id = r.job_type_id
    WHERE e.event_time BETWEEN $1::timestamptz AND now()
      AND e.is_scored AND e.orchestrator <> '' AND j.name = 'transcoding'
    ORDER BY lower(e.orchestrator), e.region_id, e.event_time DESC, e.id DESC
)
SELECT
    orchestrator, region, success_rate,
    payload_number(payload, 'upload_time') AS upload_time,
    payload_number(payload, 'download_time') AS download_time,
    payload_number(payload, 'transcode_time') AS transcode_time,
    round_trip_time
FROM latest
ORDER BY 1, 2;
