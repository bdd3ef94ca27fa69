-- For `orchboard spool show`. SQLite: the dead letters in order of arrival.
-- maximum number of rows
-- Returns number, received_at, region, job type, orchestrator, payload, reason; no row when there are none.
SELECT number, received_at, region, job_type, orchestrator, payload, reason
FROM spooled
WHERE reason IS NOT NULL
ORDER BY number
LIMIT ?;
