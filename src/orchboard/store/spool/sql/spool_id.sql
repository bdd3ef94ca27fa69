-- SQLite: the id that a waiting submission will have in `events`.
-- Returns one row (id); none when it was stored or is a dead letter.
SELECT id FROM spooled WHERE number = ? AND reason IS NULL;
