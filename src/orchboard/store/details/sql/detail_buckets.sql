-- The details of some buckets, of each orchestrator; not those of the network.
-- $1 granularities, $2 starts: arrays of equal length; $3 whether with round trips; $4 whether with errors;
-- $5 the first orchestrator, $6 the one before which they end, by code point; null: all from $5 on
-- Returns granularity, bucket_start, revision and is_materialized (also false if its details are not current) of each bucket that exists;
-- and entries, round_trips and errors (null if they are not wanted) of each orchestrator; null without any.
SELECT
    b.granularity, b.bucket_start, b.revision,
    b.is_materialized AND b.details_revision IS NOT DISTINCT FROM b.revision AS is_materialized,
    d.entries, CASE WHEN $3::boolean THEN d.round_trips END AS round_trips, CASE WHEN $4::boolean THEN d.errors END AS errors
FROM unnest($1::smallint[], $2::timestamptz[]) AS a (granularity, bucket_start)
JOIN rollup_buckets b ON b.granularity = a.granularity AND b.bucket_start = a.bucket_start
LEFT JOIN rollup_details d ON d.granularity = b.granularity AND d.bucket_start = b.bucket_start AND d.orchestrator <> ''
    AND d.orchestrator COLLATE "C" >= $5 AND ($6::text IS NULL OR d.orchestrator COLLATE "C" < $6);
