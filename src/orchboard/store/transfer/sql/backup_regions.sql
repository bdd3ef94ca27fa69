-- Every region as a backup has it, also one without a job type.
-- Returns region, display_name, job_type (null: none), in an order that stays the same.
SELECT r.name AS region, r.display_name, j.name AS job_type
FROM regions r
LEFT JOIN job_types j ON j.id = r.job_type_id
ORDER BY r.name COLLATE "C", j.name COLLATE "C", r.id;
