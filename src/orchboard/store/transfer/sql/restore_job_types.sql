-- Adds missing job types.
-- $1 names (array)
-- Returns nothing.
INSERT INTO job_types (name) SELECT unnest($1::text[]) ON CONFLICT (name) DO NOTHING;
