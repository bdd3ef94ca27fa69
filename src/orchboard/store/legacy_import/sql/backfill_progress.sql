-- The progress of a backfill. Estimates numbers of results from PostgreSQL's statistics, without a scan.
-- $1 the granularities whose buckets have no retention limit, from the shortest
-- Returns one row: is_settled (the old table is dropped), unmoved (estimated results in the old table), results (estimated
-- results in both tables), summed_up (results in built buckets of the shortest of these granularities), is_summed_up (every bucket
-- of these granularities that ended is built).
SELECT
    b.id IS NULL AS is_settled,
    greatest(coalesce(pg_stat_get_live_tuples(b.id), 0), 0) AS unmoved,
    greatest(pg_stat_get_live_tuples('events'::regclass), 0)
    + greatest(coalesce(pg_stat_get_live_tuples(b.id), 0), 0) AS results,
    (SELECT coalesce(sum(results), 0)::bigint FROM rollup_buckets WHERE granularity = ($1::smallint[])[1] AND is_materialized) AS summed_up,
    (SELECT count(*) FROM rollup_progress WHERE granularity = ANY($1::smallint[])) = cardinality($1::smallint[])
    AND NOT EXISTS (
        SELECT 1 FROM rollup_buckets
        WHERE NOT is_materialized AND granularity = ANY($1::smallint[]) AND bucket_end < now() - interval '5 minutes'
    )
    AND (
        SELECT event_time
        FROM results
        WHERE event_time < (SELECT max(materialized_since) FROM rollup_progress WHERE granularity = ANY($1::smallint[]))
          AND event_time >= '0001-02-01 00:00Z' -- no bucket begins earlier
        ORDER BY event_time DESC
        LIMIT 1
    ) IS NULL AS is_summed_up
FROM (SELECT to_regclass('events_before')::oid AS id) b;
