-- The number of results without an orchestrator or a region of a job type, which are in no answer but raw ones.
-- $1 since, $2 until (excluded)
-- Returns one row (number).
SELECT count(*) AS number
FROM results e
WHERE e.event_time >= $1 AND e.event_time < $2 AND (
    e.orchestrator = '' OR NOT EXISTS (
        SELECT 1 FROM regions r JOIN job_types j ON j.id = r.job_type_id WHERE r.id = e.region_id
    )
);
