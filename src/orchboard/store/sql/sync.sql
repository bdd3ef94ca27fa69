-- What has changed since a moment, for a server that holds the newest results in memory.
-- $1 a moment; $2 how many results at most, the newest; $3 an earlier moment
-- Returns one row: now, the database's clock; snapshot, as `snapshot` has it; coverage, another text whenever
-- `coverage` would answer otherwise;
-- before, how many results were received from $3 on and before $1; and the results received from $1 on, in that
-- order: event_time (microseconds since 2000), orchestrators (lower case), region_ids, pipelines, models, success_rate,
-- seg_duration, round_trip_time, is_scored; all null without one.
-- The upper end is for a planner without statistics: it takes a range with two ends for a small part of the table.
SELECT
    now() AS now,
    pg_current_snapshot()::text AS snapshot,
    (SELECT concat_ws(' ', count(*), sum(revision), max(revision)) FROM spans) AS coverage,
    (SELECT count(*) FROM results WHERE event_time >= $3 AND event_time < $1 AND region_id IS NOT NULL) AS before,
    r.*
FROM (
    SELECT
        string_agg(timestamptz_send(e.event_time), '') AS event_time,
        array_agg(lower(e.orchestrator)) AS orchestrators,
        string_agg(int4send(e.region_id), '') AS region_ids,
        array_agg(e.pipeline) AS pipelines,
        array_agg(e.model) AS models,
        string_agg(float8send(e.success_rate), '') AS success_rate,
        string_agg(float8send(e.seg_duration), '') AS seg_duration,
        string_agg(float8send(e.round_trip_time), '') AS round_trip_time,
        string_agg(boolsend(e.is_scored), '') AS is_scored
    FROM (
        SELECT *
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
