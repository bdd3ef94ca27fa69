-- SQLite: inserts the submissions of the attached spool `lost` in order of arrival. Returns nothing.
-- A submission whose Idempotency-Key is in this spool is skipped if its body is equal; otherwise it becomes a dead letter.
INSERT INTO main.spooled (received_at, id, region, job_type, orchestrator, payload, key, body_digest, tester_id, reason)
SELECT
    l.received_at, l.id, l.region, l.job_type, l.orchestrator, l.payload,
    iif(m.number IS NULL, l.key, NULL),
    iif(m.number IS NULL, l.body_digest, NULL),
    l.tester_id,
    iif(m.number IS NULL, l.reason, 'its Idempotency-Key was used for another body')
FROM lost.spooled AS l
LEFT JOIN main.spooled AS m ON m.key = l.key
WHERE m.number IS NULL OR m.body_digest IS NOT l.body_digest
ORDER BY l.number;
