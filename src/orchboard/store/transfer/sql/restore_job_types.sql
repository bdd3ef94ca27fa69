-- Adds the job types that are missing.
-- $1 names (array)
INSERT INTO job_types (name) SELECT unnest($1::text[]) ON CONFLICT (name) DO NOTHING;
