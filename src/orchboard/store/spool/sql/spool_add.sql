-- SQLite: keeps a result, unless its Idempotency-Key is there. Returns nothing; no row changed: the key was there.
-- received_at, id or null, region, job type, orchestrator, payload, key or null, digest of its body or null, tester id or null
INSERT INTO spooled (received_at, id, region, job_type, orchestrator, payload, key, body_digest, tester_id)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (key) WHERE key IS NOT NULL DO NOTHING;
