-- Inserts a copy of the newest result, and an Idempotency-Key, to test whether the tables accept rows. Roll it back.
-- Returns one row (id); none when there is no result.
WITH claimed AS (
    INSERT INTO idempotency_keys (key, body_digest) VALUES ('orchboard: a result to be undone', '')
    ON CONFLICT (key) DO NOTHING
)
INSERT INTO events (event_time, orchestrator, region_id, payload, tester_id)
SELECT event_time, orchestrator, region_id, payload, tester_id FROM events ORDER BY event_time DESC LIMIT 1
RETURNING id;
