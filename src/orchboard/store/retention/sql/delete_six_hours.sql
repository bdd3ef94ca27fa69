-- Deletes rollups of six hours, and their details, that lie in a built day.
-- $1 time before which they end
-- Returns one row (number).
WITH old AS (
    DELETE FROM rollup_buckets s
    WHERE s.granularity = 3 AND s.bucket_end <= $1 AND EXISTS (
        SELECT 1 FROM rollup_buckets d
        WHERE d.granularity = 4 AND d.bucket_start <= s.bucket_start AND d.bucket_end >= s.bucket_end
          AND d.is_materialized AND d.details_revision = d.revision
    )
    RETURNING bucket_start
),
sums AS (DELETE FROM rollup_sums WHERE granularity = 3 AND bucket_start IN (SELECT bucket_start FROM old)),
seen AS (DELETE FROM rollup_pipelines WHERE granularity = 3 AND bucket_start IN (SELECT bucket_start FROM old)),
times AS (DELETE FROM rollup_round_trips WHERE granularity = 3 AND bucket_start IN (SELECT bucket_start FROM old)),
details AS (DELETE FROM rollup_details WHERE granularity = 3 AND bucket_start IN (SELECT bucket_start FROM old))
SELECT count(*) AS number FROM old;
