-- SQLite: the id that a result will have in `events`. One row (id); none when the result was stored, or put aside.
SELECT id FROM spooled WHERE number = ? AND reason IS NULL;
