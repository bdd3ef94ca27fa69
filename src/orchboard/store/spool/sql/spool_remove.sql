-- SQLite: forgets a result. Returns nothing.
DELETE FROM spooled WHERE number = ?;
