-- Whether shorter buckets inside a bucket hold all of its results with current details.
-- $1 granularity of the shorter ones, $2 start, $3 end, $4 number of results of the bucket
-- Returns one row (is_complete).
SELECT
    coalesce(sum(results), 0) = $4::bigint
    AND coalesce(bool_and(is_materialized AND details_revision IS NOT DISTINCT FROM revision), TRUE) AS is_complete
FROM rollup_buckets
WHERE granularity = $1 AND bucket_start >= $2 AND bucket_start < $3;
