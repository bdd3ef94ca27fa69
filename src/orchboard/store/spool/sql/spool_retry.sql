-- SQLite: makes all dead letters wait for the replay again. Returns nothing.
UPDATE spooled SET reason = NULL WHERE reason IS NOT NULL;
