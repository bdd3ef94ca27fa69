-- The details of some buckets, of some orchestrators. A statement of its own, so that each row is found by its primary key.
-- $1 granularities, $2 starts: arrays of equal length; $3 whether with round trips; $4 whether with errors; $5 orchestrators, '' for the network
-- Returns what `detail_buckets` returns, a row for each bucket and orchestrator.
SELECT
    b.granularity, b.bucket_start, b.revision,
    b.is_materialized AND b.details_revision IS NOT DISTINCT FROM b.revision AS is_materialized,
    d.entries, CASE WHEN $3::boolean THEN d.round_trips END AS round_trips, CASE WHEN $4::boolean THEN d.errors END AS errors
FROM unnest($1::smallint[], $2::timestamptz[]) AS a (granularity, bucket_start)
JOIN rollup_buckets b ON b.granularity = a.granularity AND b.bucket_start = a.bucket_start
LEFT JOIN unnest($5::text[]) AS o (orchestrator) ON TRUE
LEFT JOIN rollup_details d ON d.granularity = b.granularity AND d.bucket_start = b.bucket_start AND d.orchestrator = o.orchestrator;
