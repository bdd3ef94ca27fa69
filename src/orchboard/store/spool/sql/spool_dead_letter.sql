-- SQLite: has a result wait for a person. Returns nothing.
-- reason, number
UPDATE spooled SET reason = ? WHERE number = ?;
