-- Revokes a job tester's key. Its results still refer to the tester.
-- $1 name
-- Returns one row (id). Empty: no tester of that name has a valid key.
UPDATE testers SET revoked_at = now(), key = NULL WHERE name = $1 AND revoked_at IS NULL RETURNING id;
