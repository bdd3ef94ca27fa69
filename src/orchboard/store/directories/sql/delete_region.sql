-- Removes a region for a job type, or for both. The foreign key of the results refuses this while one refers to it.
-- $1 region (upper case), $2 job type (null: both)
-- Returns one row (id) per removed region. Empty: the region does not exist.
DELETE FROM regions r
USING job_types j
WHERE j.id = r.job_type_id AND r.name = $1::varchar AND ($2::varchar IS NULL OR j.name = $2::varchar)
RETURNING r.id;
