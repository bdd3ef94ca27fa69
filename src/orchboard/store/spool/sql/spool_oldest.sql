-- SQLite: the waiting submissions in order of arrival.
-- maximum number of rows
-- Returns all columns; no row when none waits.
SELECT *
FROM spooled
WHERE reason IS NULL
ORDER BY number
LIMIT ?;
