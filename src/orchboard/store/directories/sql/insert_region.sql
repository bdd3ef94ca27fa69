-- Adds a region for a job type. Does nothing if it exists.
-- $1 region (upper case), $2 display name, $3 job type
-- Returns one row (id) if it was added. Empty: it existed.
INSERT INTO regions (name, display_name, job_type_id)
SELECT $1::varchar, $2::varchar, j.id
FROM job_types j
WHERE j.name = $3::varchar
ON CONFLICT (name, job_type_id) DO NOTHING
RETURNING id;
