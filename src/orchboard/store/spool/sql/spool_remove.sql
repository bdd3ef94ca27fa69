-- SQLite: deletes a submission. Returns nothing.
DELETE FROM spooled WHERE number = ?;
