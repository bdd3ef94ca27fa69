-- SQLite: assigns the id that a submission will have in `events`, before it is stored there. Returns nothing.
-- id, number
UPDATE spooled SET id = ? WHERE number = ? AND id IS NULL;
