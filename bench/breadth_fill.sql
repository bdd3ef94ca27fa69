-- Transcoding results of many orchestrators in all regions, in the order of receipt.
-- $1 number of orchestrators, $2 results of each orchestrator and region, $3 number of hours that they are spread over, $4 hours ago
-- that these end
INSERT INTO events (event_time, orchestrator, region_id, payload)
SELECT
    now() - make_interval(secs => $4::float * 3600 + $3::float * 3600 * (1 - (place + random()) / ($1::float * $2))),
    address, region_id,
    jsonb_build_object(
        'region', region, 'orchestrator', address, 'timestamp', 1700000000 + place, 'errors', '[]'::jsonb,
        'success_rate', CASE WHEN random() < 0.9 THEN 1 ELSE round(random()::numeric, 3) END,
        'round_trip_time', round((0.3 + 2 * random())::numeric, 6), 'seg_duration', 2,
        'segments_sent', 15, 'segments_received', 15,
        'upload_time', round(random()::numeric, 6), 'download_time', round(random()::numeric, 6),
        'transcode_time', round(random()::numeric, 6)
    )
FROM (
    SELECT
        '0x' || md5('breadth' || (place * 7919 % $1::integer)) || '3a90e3a9' AS address, place
    FROM generate_series(0, $1::integer * $2::integer - 1) place
    OFFSET 0
) orchestrator
CROSS JOIN (
    SELECT r.id AS region_id, r.name AS region
    FROM regions r JOIN job_types j ON j.id = r.job_type_id
    WHERE j.name = 'transcoding' ORDER BY r.id LIMIT 22
) regions
