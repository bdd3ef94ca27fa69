-- The job type of each region.
-- Returns id, job_type.
SELECT r.id, j.name AS job_type FROM regions r JOIN job_types j ON j.id = r.job_type_id;
