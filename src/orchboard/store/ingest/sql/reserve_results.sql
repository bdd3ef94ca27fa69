-- Reserves Idempotency-Keys for results that are inserted afterwards, by `insert_stats` or `insert_reserved`, under the primary keys
-- that are noted with them. On the coordinator of a distributed board.
-- The statement waits for a key that another transaction is inserting. Keys are inserted in order, so that two such statements
-- cannot deadlock. `replicated`: see `insert_once`.
-- Arrays with one item per result; a key occurs once:
-- $1 key, $2 digest of the body, $3 receipt time, $4 id from `allocate_ids`
-- Returns one row (key) for each new key; one row with null when no key is new.
WITH replicated AS MATERIALIZED (
    SELECT pg_logical_emit_message(TRUE, 'orchboard', '') AS lsn
),
reserved AS (
    INSERT INTO idempotency_keys (key, body_digest, result_event_time, result_id)
    SELECT key, body_digest, event_time, id
    FROM unnest($1::text[], $2::bytea[], $3::timestamptz[], $4::bigint[]) AS given (key, body_digest, event_time, id)
    ORDER BY key
    ON CONFLICT (key) DO NOTHING
    RETURNING key
)
SELECT reserved.key FROM replicated LEFT JOIN reserved ON TRUE;
