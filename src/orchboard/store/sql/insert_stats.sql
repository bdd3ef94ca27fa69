-- Stores one result, received now.
-- $1 orchestrator (lower case), $2 region id, $3 payload (JSON text)
-- Returns one row (id).
INSERT INTO events (orchestrator, region_id, payload)
VALUES ($1, $2, $3::text::jsonb)
RETURNING id;
