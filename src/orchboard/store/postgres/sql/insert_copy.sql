-- Stores the newest result once more, with a key: whether the tables take results at all. To be undone.
-- Returns one row (id); none when there is no result.
WITH claimed AS (
    INSERT INTO idempotency_keys (key, body_digest) VALUES ('orchboard: a result to be undone', '')
    ON CONFLICT (key) DO NOTHING
)
INSERT INTO events (event_time, orchestrator, region_id, payload, tester_id)
SELECT event_time, orchestrator, region_id, payload, tester_id FROM events ORDER BY event_time DESC LIMIT 1
RETURNING id;
