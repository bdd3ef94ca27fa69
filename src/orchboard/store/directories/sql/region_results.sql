-- The number of results that refer to a region, by job type. Reads every result.
-- $1 region (upper case), $2 job type (null: both)
-- Returns one row (job_type, results) per job type of the region. Empty: the region does not exist.
SELECT j.name AS job_type, coalesce(e.results, 0) AS results
FROM regions r
JOIN job_types j ON j.id = r.job_type_id
LEFT JOIN (
    SELECT region_id, count(*) AS results
    FROM results
    WHERE region_id IN (SELECT id FROM regions WHERE name = $1::varchar)
    GROUP BY region_id
) e ON e.region_id = r.id
WHERE r.name = $1::varchar AND ($2::varchar IS NULL OR j.name = $2::varchar)
ORDER BY j.name;
