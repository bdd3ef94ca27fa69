-- What some series are of.
-- $1 ids
-- Returns id, job_type, pipeline, model.
SELECT s.id, j.name AS job_type, s.pipeline, s.model
FROM rollup_series s
JOIN regions r ON r.id = s.region_id
JOIN job_types j ON j.id = r.job_type_id
WHERE s.id = ANY($1::integer[]);
