-- SQLite: the results that were put aside, in the order they came, as many as asked for at most.
-- Returns number, received_at, region, job type, orchestrator, payload, reason; none when there are none.
SELECT number, received_at, region, job_type, orchestrator, payload, reason
FROM spooled
WHERE reason IS NOT NULL
ORDER BY number
LIMIT ?;
