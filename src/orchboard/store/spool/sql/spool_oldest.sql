-- SQLite: the results that wait, in the order they came, as many as asked for at most. Returns number and what
-- `spool_add` was given; none when nothing waits.
SELECT number, received_at, id, region, job_type, orchestrator, payload, key, body_digest, tester_id
FROM spooled
WHERE reason IS NULL
ORDER BY number
LIMIT ?;
