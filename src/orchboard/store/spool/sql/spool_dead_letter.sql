-- SQLite: makes a dead letter of a submission. Returns nothing.
-- reason, number
UPDATE spooled SET reason = ? WHERE number = ?;
