-- SQLite: adds a submission, unless its Idempotency-Key is in the spool. Returns nothing; no row changes if it is.
-- The values of COLUMNS in sqlite_layout.py, in their order.
INSERT INTO spooled (received_at, id, region, job_type, orchestrator, payload, key, body_digest, tester_id)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (key) WHERE key IS NOT NULL DO NOTHING;
