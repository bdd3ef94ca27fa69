-- All regions, also those without a job type, as a backup has them.
-- Returns region, display_name, job_type (null: none), in a stable order.
SELECT r.name AS region, r.display_name, j.name AS job_type
FROM regions r
LEFT JOIN job_types j ON j.id = r.job_type_id
ORDER BY r.name COLLATE "C", j.name COLLATE "C", r.id;
