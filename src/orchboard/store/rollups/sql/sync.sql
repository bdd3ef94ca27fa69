-- What has changed since a moment, for a server that holds the newest results in memory.
-- $1 a moment; $2 how many results at most, the newest; $3 an earlier moment; $4 the snapshot of the last reading, or null
-- Returns one row: now, the database's clock; snapshot, as `snapshot` has it; coverage, another text whenever
-- `coverage` would answer otherwise; changed_since, the earliest receipt time at which results were inserted late, updated
-- or deleted since the last reading (null: nowhere); regions_changed, whether a region or job type was; watermark, or null;
-- before, how many results were received from $3 on and before $1; and the results received from $1 on, in that
-- order: event_time (microseconds since 2000), keys (as ResultKey, one after the other), key_lengths (4 bytes each),
-- success_rate, seg_duration, round_trip_time, is_scored; all null without one. Texts as arrays would be an object each.
-- The upper end is for a planner without statistics: it takes a range with two ends for a small part of the table.
SELECT
    now() AS now,
    pg_current_snapshot()::text AS snapshot,
    (SELECT concat_ws(' ', count(*), sum(revision), max(revision), i.pending) FROM spans) AS coverage,
    i.changed_since,
    i.regions_changed,
    to_timestamp(pg_sequence_last_value('rollup_watermark'::regclass)) AS watermark,
    (SELECT count(*) FROM results WHERE event_time >= $3 AND event_time < $1 AND region_id IS NOT NULL) AS before,
    r.*
FROM (
    SELECT
        concat_ws(' ', count(*) FILTER (WHERE NOT is_applied), sum(id) FILTER (WHERE NOT is_applied)) AS pending,
        min(greatest(since, '0001-01-02 00:00+00')) FILTER (WHERE is_new AND since IS NOT NULL) AS changed_since,
        coalesce(bool_or(since IS NULL AND is_new), FALSE) AS regions_changed
    FROM (
        SELECT id, since, is_applied, NOT pg_visible_in_snapshot(xid, $4::text::pg_snapshot) AS is_new
        FROM rollup_invalidations
    ) n
) i, (
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
        FROM (
            SELECT event_time, orchestrator, region_id, pipeline, model,
                   success_rate, seg_duration, round_trip_time, is_scored
            FROM results
            WHERE event_time >= $1 AND event_time < 'infinity' AND region_id IS NOT NULL
            ORDER BY event_time DESC
            LIMIT $2
        ) newest
        ORDER BY event_time
    ) e
) r;
