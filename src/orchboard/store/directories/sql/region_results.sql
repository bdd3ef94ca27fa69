-- How many results refer to a region, by the job types that it is known for.
-- $1 region (upper case), $2 job type; null: both
-- Returns a row (job_type, results) for each; none when the region is unknown for them. Reads every result once.
SELECT j.name AS job_type, (SELECT count(*) FROM results WHERE region_id = r.id) AS results
FROM regions r
JOIN job_types j ON j.id = r.job_type_id
WHERE r.name = $1::varchar AND ($2::varchar IS NULL OR j.name = $2::varchar)
ORDER BY j.name;
