-- Copies the regions and job types to every node. Tables that are there already are skipped. Needs Citus.
-- Returns nothing of use.
SELECT create_reference_table(name::regclass)
FROM unnest(ARRAY['job_types', 'regions']) WITH ORDINALITY AS t (name, number)
WHERE NOT EXISTS (SELECT FROM pg_dist_partition WHERE logicalrelid = t.name::regclass)
ORDER BY number;
