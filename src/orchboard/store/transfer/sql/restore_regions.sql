-- Adds the regions that are missing; one that is there keeps its display name.
-- Arrays with an item a region: $1 regions, $2 display names, $3 job types, null: none
-- Returns a row (id) for each that was added.
INSERT INTO regions (name, display_name, job_type_id)
SELECT g.region, g.display_name, j.id
FROM unnest($1::text[], $2::text[], $3::text[]) AS g (region, display_name, job_type)
LEFT JOIN job_types j ON j.name = g.job_type
WHERE NOT EXISTS (SELECT FROM regions r WHERE r.name = g.region AND r.job_type_id IS NOT DISTINCT FROM j.id)
ON CONFLICT (name, job_type_id) DO NOTHING
RETURNING id;
