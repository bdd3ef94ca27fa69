-- Refreshes the live tail of a server.
-- $1 start of the results to return; $2 the maximum number of results, the newest; $3 an earlier start, for `before`;
-- $4 the snapshot of the previous refresh, or null
-- Returns one row: now, the database's clock; snapshot, as in `seen_transactions`; coverage, a text that differs whenever `coverage`
-- would return something else; changed_since, the earliest receipt time at which results were inserted late, updated or
-- deleted since the previous refresh (null: none were); names_changed, whether a region, job type or tester was; watermark, or
-- null; before, the number of results received from $3 on and before $1; and the results received from $1 on, as in
-- `result_columns`.
-- The upper bound helps a planner without statistics: it estimates that a range with two ends is a small part of the table.
WITH chosen AS (
    SELECT event_time, orchestrator, region_id, pipeline, model, is_scored, {each measure: @}
    FROM results
    WHERE event_time >= $1 AND event_time < 'infinity' AND region_id IS NOT NULL
    ORDER BY event_time DESC
    LIMIT $2
)
SELECT
    now() AS now,
    {include seen_transactions} AS snapshot,
    (SELECT concat_ws(' ', count(*), sum(revision), max(revision), i.pending) FROM rollup_buckets) AS coverage,
    i.changed_since,
    i.names_changed,
    to_timestamp(pg_sequence_last_value('rollup_watermark'::regclass)) AS watermark,
    (SELECT count(*) FROM results WHERE event_time >= $3 AND event_time < $1 AND region_id IS NOT NULL) AS before,
    r.*
FROM ({include tail_changes}) i, ({include result_columns}) r;
