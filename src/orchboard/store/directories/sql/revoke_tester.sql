-- Takes a job tester's key away, for ever; its results stay, and stay its.
-- $1 name
-- Returns one row (id), none when no tester of that name has a key.
UPDATE testers SET revoked_at = now(), key = NULL WHERE name = $1 AND revoked_at IS NULL RETURNING id;
