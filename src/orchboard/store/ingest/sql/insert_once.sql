-- Inserts results, each once, all or none of those that do not exist.
-- A result whose primary key exists, from this statement or from `insert_stats`, is skipped, whichever attempt the
-- server carries out first.
-- A result with an Idempotency-Key is inserted only if the key is new. The statement waits for a key that another
-- transaction is inserting. Keys are inserted in order, so that two such statements cannot deadlock.
-- `replicated` writes to the WAL, so that the commit waits for the synchronous standby even if nothing is inserted. The
-- results that exist may be on this server's disk only: their commit was cancelled or cut short while it waited for the
-- standby. Acknowledged without this wait, they are lost when the standby is promoted.
-- Arrays with one item per result; a key occurs once:
-- $1 orchestrator (lower case), $2 region id, $3 payload (JSON text), $4 tester id or null, $5 key or null,
-- $6 digest of the body or null, $7 receipt time, $8 id from `allocate_ids`
-- Returns one row (key) for each new key; one row with null when no key is new.
WITH replicated AS MATERIALIZED (
    SELECT pg_logical_emit_message(TRUE, 'orchboard', '') AS lsn
),
given AS (
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
SELECT claimed.key FROM replicated LEFT JOIN claimed ON TRUE;
