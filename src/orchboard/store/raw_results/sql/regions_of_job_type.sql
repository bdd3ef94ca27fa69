-- The regions of a job type.
-- $1 job type; $2 region (code); null: any
-- Returns id, name (its code). Empty: there are none.
SELECT r.id, r.name
FROM regions r JOIN job_types j ON j.id = r.job_type_id
WHERE j.name = $1::text AND ($2::text IS NULL OR r.name = $2);
