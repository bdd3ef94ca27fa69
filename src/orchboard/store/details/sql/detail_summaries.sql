-- The summaries of some buckets of at most a day.
-- $1 granularities, $2 starts: arrays of equal length
-- Returns granularity, bucket_start, revision and is_materialized (also false if its details are not current) of each bucket that exists; and
-- summary, null without results.
SELECT
    b.granularity, b.bucket_start, b.revision,
    b.is_materialized AND b.details_revision IS NOT DISTINCT FROM b.revision AS is_materialized,
    d.summary
FROM unnest($1::smallint[], $2::timestamptz[]) AS a (granularity, bucket_start)
JOIN rollup_buckets b ON b.granularity = a.granularity AND b.bucket_start = a.bucket_start
LEFT JOIN rollup_details d ON d.granularity = b.granularity AND d.bucket_start = b.bucket_start AND d.orchestrator = '';
