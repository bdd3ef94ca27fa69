-- The names of all testers, also of revoked ones.
-- Returns id, name.
SELECT id, name FROM testers;
