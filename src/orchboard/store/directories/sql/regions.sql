-- All regions with their job types, sorted by type, then GLOBAL first, then display name.
-- Returns id (integer), region, display_name, job_type. Never empty from migration 2 on.
SELECT r.id, r.name AS region, r.display_name, j.name AS job_type
FROM regions r
JOIN job_types j ON j.id = r.job_type_id
ORDER BY j.name, r.name <> 'GLOBAL', r.display_name, r.name;
