-- The receipt time of the newest result of each job type and region, not in the future. Index-only.
-- $1 since
-- Returns job_type, region (code), event_time. Empty: there is none.
SELECT j.name AS job_type, r.name AS region, n.event_time
FROM (
    SELECT region_id, max(event_time) AS event_time
    FROM results
    WHERE event_time BETWEEN $1::timestamptz AND now()
    GROUP BY region_id
) n
JOIN regions r ON r.id = n.region_id
JOIN job_types j ON j.id = r.job_type_id
ORDER BY 1, 2;
