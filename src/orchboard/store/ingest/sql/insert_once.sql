-- Stores results, each once, all or none of those that are not there.
-- By its id and receipt time: sent twice, by this statement or first by `insert_stats`, a result is stored once,
-- whichever attempt is carried out first.
-- By its Idempotency-Key: it is stored only when the key is new; a key that another transaction is just storing is
-- waited for. Keys are claimed in order, so that two such statements wait for each other in one direction only.
-- Arrays with an item a result; a key occurs once:
-- $1 orchestrator (lower case), $2 region id, $3 payload (JSON text), $4 tester id or null, $5 key or null,
-- $6 digest of the body or null, $7 receipt time, $8 id, from `allocate_ids`
-- Returns one row (key) for each key that was new. None when there was none.
WITH given AS (
    SELECT *
    FROM unnest(
        $1::text[], $2::integer[], $3::text[], $4::integer[], $5::text[], $6::bytea[], $7::timestamptz[], $8::bigint[]
    ) AS given (orchestrator, region_id, payload, tester_id, key, body_digest, event_time, id)
),
claimed AS (
    INSERT INTO idempotency_keys (key, body_digest)
    SELECT key, body_digest FROM given WHERE key IS NOT NULL ORDER BY key
    ON CONFLICT (key) DO NOTHING
    RETURNING key
),
stored AS (
    INSERT INTO events (id, event_time, orchestrator, region_id, payload, tester_id)
    SELECT id, event_time, orchestrator, region_id, payload::jsonb, tester_id
    FROM given
    WHERE key IS NULL OR key IN (SELECT key FROM claimed)
    ON CONFLICT (orchestrator, event_time, id) DO NOTHING
)
SELECT key FROM claimed;
