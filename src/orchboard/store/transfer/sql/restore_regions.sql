-- Adds missing regions. Does not change existing display names.
-- Arrays with one item per region: $1 region, $2 display name, $3 job type (null: none)
-- Returns one row (id) per added region.
INSERT INTO regions (name, display_name, job_type_id)
SELECT g.region, g.display_name, j.id
FROM unnest($1::text[], $2::text[], $3::text[]) AS g (region, display_name, job_type)
LEFT JOIN job_types j ON j.name = g.job_type
LEFT JOIN regions r ON r.name = g.region AND r.job_type_id IS NOT DISTINCT FROM j.id
WHERE r.id IS NULL
ON CONFLICT (name, job_type_id) DO NOTHING
RETURNING id;
