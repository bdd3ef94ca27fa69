-- Adds a job tester with a key of its own, or does nothing when there is one of that name.
-- $1 name, $2 key, $3 codes of the regions it may post from (array; null: any)
-- Returns one row (id) when it was added, none when there was one already.
INSERT INTO testers (name, key, regions)
VALUES ($1, $2, $3::text[])
ON CONFLICT (name) WHERE revoked_at IS NULL DO NOTHING
RETURNING id;
