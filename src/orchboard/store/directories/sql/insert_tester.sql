-- Adds a job tester with its own key. Does nothing if one of that name has a valid key.
-- $1 name, $2 key, $3 codes of the regions it may post from (array; null: any)
-- Returns one row (id) if it was added. Empty: it existed.
INSERT INTO testers (name, key, regions)
VALUES ($1, $2, $3::text[])
ON CONFLICT (name) WHERE revoked_at IS NULL DO NOTHING
RETURNING id;
