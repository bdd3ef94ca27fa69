-- The sums of some materialized buckets for one job type.
-- $1 granularities, $2 starts: arrays of equal length; $3 job type
-- Returns granularity, bucket_start, revision and is_materialized of each bucket that exists; pipeline, model and the arrays of
-- `rollup_sums`, a row for each pipeline and model; null if it has no result of the job type.
SELECT
    b.granularity, b.bucket_start, b.revision, b.is_materialized,
    g.pipeline, g.model, g.groups, g.results, {each measure: g.@}
FROM unnest($1::smallint[], $2::timestamptz[]) AS a (granularity, bucket_start)
JOIN rollup_buckets b ON b.granularity = a.granularity AND b.bucket_start = a.bucket_start
LEFT JOIN rollup_sums g ON g.granularity = b.granularity AND g.bucket_start = b.bucket_start
    AND g.job_type_id = (SELECT id FROM job_types WHERE name = $3);
