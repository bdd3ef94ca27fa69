-- The sums of one bucket.
-- $1 granularity, $2 start
-- Returns the arrays of `rollup_sums`, a row for each job type, pipeline and model; no rows if it has none.
SELECT groups, results, {each measure: @}
FROM rollup_sums
WHERE granularity = $1 AND bucket_start = $2;
