-- SQLite: has what was put aside wait to be stored again. Returns nothing.
UPDATE spooled SET reason = NULL WHERE reason IS NOT NULL;
