-- Refreshes the live tail of details of a server.
-- $1 to $4 as in `tail_results`
-- Returns one row: all columns of `tail_results` that are not columns of results; coverage also differs when details were built;
-- and the results received from $1 on, as in `detail_columns`.
WITH chosen AS (
    SELECT event_time, orchestrator, region_id, tester_id, pipeline, model, is_scored, payload, {each measure: @}
    FROM result_details
    WHERE event_time >= $1 AND event_time < 'infinity' AND region_id IS NOT NULL
    ORDER BY event_time DESC
    LIMIT $2
)
SELECT
    now() AS now,
    {include seen_transactions} AS snapshot,
    (
        SELECT concat_ws(' ', count(*), sum(revision), max(revision), sum(details_revision), i.pending) FROM rollup_buckets
    ) AS coverage,
    i.changed_since,
    i.names_changed,
    to_timestamp(pg_sequence_last_value('rollup_watermark'::regclass)) AS watermark,
    (SELECT count(*) FROM results WHERE event_time >= $3 AND event_time < $1 AND region_id IS NOT NULL) AS before,
    r.*
FROM ({include tail_changes}) i, ({include detail_columns}) r;
