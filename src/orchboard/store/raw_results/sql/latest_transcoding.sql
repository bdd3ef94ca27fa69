-- The latest scored transcoding result of each orchestrator and region. Results without an orchestrator are left out.
-- $1 since; $2 the snapshot of the previous read, or null
-- Returns orchestrator (lower case), region (code), event_time, success_rate, upload_time, download_time, transcode_time,
-- round_trip_time; a time that is missing or no number is 0. Each row also has now, the database's clock; snapshot, as in
-- `seen_transactions`; and is_changed, whether older results or a region changed since the previous read. Without results, one row with
-- nulls.
WITH latest AS (
    SELECT DISTINCT ON (lower(e.orchestrator), e.region_id)
        lower(e.orchestrator) AS orchestrator, r.name AS region, e.event_time, e.success_rate, e.round_trip_time, e.payload
    FROM results e
    JOIN regions r ON r.id = e.region_id
    JOIN job_types j ON j.id = r.job_type_id
    WHERE e.event_time BETWEEN $1::timestamptz AND now()
      AND e.is_scored AND e.orchestrator <> '' AND j.name = 'transcoding'
    ORDER BY lower(e.orchestrator), e.region_id, e.event_time DESC, e.id DESC
)
SELECT
    now() AS now, {include seen_transactions} AS snapshot,
    EXISTS (
        SELECT 1 FROM rollup_invalidations
        WHERE xid >= pg_snapshot_xmin($2::text::pg_snapshot) AND NOT pg_visible_in_snapshot(xid, $2::text::pg_snapshot)
    ) AS is_changed,
    l.orchestrator, l.region, l.event_time, l.success_rate,
    payload_number(l.payload, 'upload_time') AS upload_time,
    payload_number(l.payload, 'download_time') AS download_time,
    payload_number(l.payload, 'transcode_time') AS transcode_time,
    l.round_trip_time
FROM (SELECT) one
LEFT JOIN latest l ON TRUE;
