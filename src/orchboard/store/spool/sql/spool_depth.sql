-- SQLite: one row: how many results wait, when the oldest of them came (null: none), how many were put aside.
SELECT
    (SELECT count(*) FROM spooled WHERE reason IS NULL),
    (SELECT received_at FROM spooled WHERE reason IS NULL ORDER BY number LIMIT 1),
    (SELECT count(*) FROM spooled WHERE reason IS NOT NULL);
