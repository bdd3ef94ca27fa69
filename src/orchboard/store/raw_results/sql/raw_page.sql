-- One page of the results of an orchestrator, newest first by receipt: at least one row, at most $8 rows, and at most $9 stored
-- bytes. Keys come from the index and sizes from the table; only the payloads that are returned are decompressed.
-- $1 orchestrator (lower case), $2 since; $3 event_time and $4 id: the page begins below this key; $5 ids of regions;
-- $6 pipeline, $7 model, $10 whether scored; null: any
-- Returns event_time (eight bytes, microseconds since 2000), id, region_id, pipeline, model, payload (text), and number:
-- the number of rows below the key, at most $8. No rows: there is no result below the key.
WITH keys AS MATERIALIZED (
    SELECT id, event_time, orchestrator
    FROM (
        -- Has its own limit, so that the index is read from its end and only as far as the page needs.
        (
            SELECT id, event_time, orchestrator
            FROM results
            WHERE orchestrator = $1::text AND event_time >= $2 AND (event_time, id) < ($3::timestamptz, $4::bigint)
              AND region_id = ANY($5::integer[])
              AND ($6::text IS NULL OR pipeline = $6)
              AND ($7::text IS NULL OR model = $7)
              AND ($10::boolean IS NULL OR is_scored = $10)
            ORDER BY event_time DESC, id DESC
            LIMIT $8::integer
        )
        UNION ALL
        -- As in raw_stats.sql: addresses that another program wrote in mixed case.
        (
            SELECT id, event_time, orchestrator
            FROM results
            WHERE lower(orchestrator) = $1::text AND orchestrator <> lower(orchestrator)
              AND event_time >= $2 AND (event_time, id) < ($3::timestamptz, $4::bigint)
              AND region_id = ANY($5::integer[])
              AND ($6::text IS NULL OR pipeline = $6)
              AND ($7::text IS NULL OR model = $7)
              AND ($10::boolean IS NULL OR is_scored = $10)
        )
    ) found
    ORDER BY event_time DESC, id DESC
    LIMIT $8::integer
),
sized AS MATERIALIZED (
    SELECT
        r.event_time, r.id, r.region_id, r.pipeline, r.model, r.payload,
        count(*) OVER () AS number,
        sum(pg_column_size(r.payload)) OVER (ORDER BY r.event_time DESC, r.id DESC ROWS UNBOUNDED PRECEDING)
            - pg_column_size(r.payload) AS before
    FROM keys k JOIN results r USING (orchestrator, event_time, id)
)
SELECT timestamptz_send(event_time) AS event_time, id, region_id, pipeline, model, payload::text AS payload, number
FROM sized
WHERE before < $9::bigint
ORDER BY sized.event_time DESC, id DESC;
