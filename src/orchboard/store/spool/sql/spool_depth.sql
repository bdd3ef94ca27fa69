-- SQLite: the contents of the spool.
-- Returns one row: number of waiting submissions, receipt time of the oldest (null: none), number of dead letters.
SELECT
    (SELECT count(*) FROM spooled WHERE reason IS NULL),
    (SELECT received_at FROM spooled WHERE reason IS NULL ORDER BY number LIMIT 1),
    (SELECT count(*) FROM spooled WHERE reason IS NOT NULL);
