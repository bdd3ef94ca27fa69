-- Results as the reference server stores them: payloads without their zero fields.
-- $1 first number, $2 last number, $3 total number, $4 number of days until now
-- Three of four are transcoding; 100 orchestrators, 20 transcoding and 4 AI regions, 12 models.
INSERT INTO events (event_time, orchestrator, region_id, payload)
SELECT
    now() - make_interval(secs => $4::float * 86400 * ($3::float - n + random()) / $3),
    CASE WHEN n % 50 = 0 THEN '0x' || upper(substr(address, 3)) ELSE address END,
    region_id,
    CASE
        WHEN is_ai THEN
            format(
                '{"region": "%s", "orchestrator": "%s", "success_rate": %s, "round_trip_time": %s, "errors": [], '
                '"timestamp": %s, "model": "vendor/model-%s", "model_is_warm": true, "pipeline": "%s", '
                '"input_parameters": "{\"prompt\":\"a crowded regatta under storm clouds, torn sails, oil on canvas\",\"seed\":%s}", '
                '"response_payload": "{\"images\":[{\"nsfw\":false,\"seed\":%s,\"url\":\"/stream/%s.png\"}]}", "test_outcome": "%s"}',
                region, address, success, 0.5 + model + 3 * random(), 1700000000 + n, model,
                (ARRAY['text-to-image', 'image-to-image', 'upscale'])[1 + model % 3], n, n, md5(n::text),
                CASE WHEN n % 40 = 0 THEN 'unscored_timeout' ELSE 'scored' END
            )::jsonb
        ELSE
            format(
                '{"region": "%s", "orchestrator": "%s", "success_rate": %s, "round_trip_time": %s, "errors": [], '
                '"timestamp": %s, "seg_duration": 2, "segments_sent": 15, "segments_received": 15, '
                '"upload_time": %s, "download_time": %s, "transcode_time": %s}',
                region, address, success, 0.3 + 2 * random(), 1700000000 + n,
                0.1 + random(), 0.1 + random(), 0.1 + random()
            )::jsonb
    END
FROM (
    SELECT
        n,
        n % 4 = 0 AS is_ai,
        n % 12 AS model,
        '0x' || md5('orchestrator' || floor(100 * random())::integer) || '3a90e3a9' AS address,
        CASE WHEN random() < 0.9 THEN '1' ELSE round(random()::numeric, 3)::text END AS success,
        1 + floor(random() * CASE WHEN n % 4 = 0 THEN 4 ELSE 20 END)::integer AS place
    FROM generate_series($1::integer, $2::integer) n
    OFFSET 0
) result
JOIN (
    SELECT r.id AS region_id, r.name AS region, j.name = 'ai' AS ai, row_number() OVER (PARTITION BY j.id ORDER BY r.id) AS at
    FROM regions r JOIN job_types j ON j.id = r.job_type_id
) r ON r.ai = is_ai AND r.at = place
