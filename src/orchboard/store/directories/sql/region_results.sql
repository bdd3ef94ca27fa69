-- The number of results that refer to a region, by job type. Reads every result.
-- $1 region (upper case), $2 job type (null: both)
-- Returns one row (job_type, results) per job type of the region. Empty: the region does not exist.
SELECT j.name AS job_type, (SELECT count(*) FROM results WHERE region_id = r.id) AS results
FROM regions r
JOIN job_types j ON j.id = r.job_type_id
WHERE r.name = $1::varchar AND ($2::varchar IS NULL OR j.name = $2::varchar)
ORDER BY j.name;
