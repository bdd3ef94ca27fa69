-- The pipelines and models of some materialized buckets.
-- $1 granularities, $2 starts: arrays of equal length
-- Returns granularity, bucket_start, revision and is_materialized of each bucket that exists; and arrays of equal length:
-- pipelines, models, region_ids; null if it has none.
SELECT
    b.granularity, b.bucket_start, b.revision, b.is_materialized,
    p.pipelines, p.models, p.region_ids
FROM unnest($1::smallint[], $2::timestamptz[]) AS a (granularity, bucket_start)
JOIN rollup_buckets b ON b.granularity = a.granularity AND b.bucket_start = a.bucket_start
CROSS JOIN LATERAL (
    SELECT array_agg(pipeline) AS pipelines, array_agg(model) AS models, array_agg(region_id) AS region_ids
    FROM rollup_pipelines
    WHERE granularity = b.granularity AND bucket_start = b.bucket_start
) p;
