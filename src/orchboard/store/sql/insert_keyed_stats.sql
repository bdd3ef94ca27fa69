-- Stores results, all or none. Sent twice, it is refused the second time: their primary keys are there by then.
-- A result under an Idempotency-Key is stored only when the key is new: a key that another transaction is just
-- storing is waited for. Keys are claimed in order, so that two such statements wait for each other in one
-- direction only.
-- Arrays with an item a result; a key occurs once:
-- $1 orchestrator (lower case), $2 region id, $3 payload (JSON text), $4 tester id or null, $5 key or null,
-- $6 digest of the body or null, $8 id, from `reserve`
-- For all of them: $7 receipt time
-- Returns one row (key) for each key that was new. None when there was none.
WITH given AS (
    SELECT *
    FROM unnest($1::text[], $2::integer[], $3::text[], $4::integer[], $5::text[], $6::bytea[], $8::bigint[])
        AS given (orchestrator, region_id, payload, tester_id, key, body_digest, id)
),
claimed AS (
    INSERT INTO idempotency_keys (key, body_digest)
    SELECT key, body_digest FROM given WHERE key IS NOT NULL ORDER BY key
    ON CONFLICT (key) DO NOTHING
    RETURNING key
),
stored AS (
    INSERT INTO events (id, event_time, orchestrator, region_id, payload, tester_id)
    SELECT id, $7::timestamptz, orchestrator, region_id, payload::jsonb, tester_id
    FROM given
    WHERE key IS NULL OR key IN (SELECT key FROM claimed)
)
SELECT key FROM claimed;
