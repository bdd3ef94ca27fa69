-- Stores one result under an Idempotency-Key, unless the key was used before.
-- Waits for another request that holds the same key, so a key never stores twice.
-- $1 orchestrator (lower case), $2 region id, $3 payload (JSON text), $4 key, $5 digest of the body
-- Returns one row (id) when it was stored, none when the key was there already.
WITH claimed AS (
    INSERT INTO idempotency_keys (key, body_digest)
    VALUES ($4, $5)
    ON CONFLICT (key) DO NOTHING
    RETURNING key
)
INSERT INTO events (orchestrator, region_id, payload)
SELECT $1, $2, $3::text::jsonb
FROM claimed
RETURNING id;
