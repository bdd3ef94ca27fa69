-- The sums of the shorter buckets inside a bucket, concatenated.
-- $1 granularity of the shorter ones, $2 start, $3 end
-- Returns job_type_id, pipeline, model and the arrays of `rollup_sums`, in which a group may occur several times.
SELECT
    job_type_id, pipeline, model,
    string_agg(groups, '') AS groups, string_agg(results, '') AS results,
    {each measure: string_agg(@, '') AS @}
FROM rollup_sums
WHERE granularity = $1 AND bucket_start >= $2 AND bucket_start < $3
GROUP BY job_type_id, pipeline, model;
