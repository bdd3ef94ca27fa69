-- One page of results in the order of receipt, as text that clients get unchanged. At most $4 results are read, and at most $14
-- stored bytes of payloads; those that are not asked for are left out after that, so that the time of a page has a bound. Left out,
-- too, as in detail_results.sql: results without an orchestrator or a region.
-- $1 event_time and $2 id: the page begins after this key; $3 until; $5 orchestrator (lower case), $6 job type, $7 region (code),
-- $8 pipeline, $9 model, $10 name of the tester, $11 whether scored; null: any
-- $12 the format: `ndjson`, `csv`, or `text`, which is ndjson with the payload as a string; $13 whether lines have the payload
-- $15 the maximum number of lines; null: any
-- Returns body (lines in UTF-8; null without one), number (of lines), read (of results), event_time and id of the last result that
-- was read, and is_last: no result follows.
WITH places AS MATERIALIZED (
    SELECT
        r.id, r.name AS region, j.name AS job_type, j.name = 'ai' AS is_ai,
        concat(',"region":', to_json(r.name), ',"job_type":', to_json(j.name), ',"pipeline":') AS json
    FROM regions r JOIN job_types j ON j.id = r.job_type_id
),
signers AS MATERIALIZED (SELECT id, name, to_json(name)::text AS json FROM testers),
found AS NOT MATERIALIZED (
    (
        SELECT
            id, event_time, orchestrator, region_id, tester_id, pipeline, model, is_scored, success_rate, round_trip_time,
            seg_duration, CASE WHEN $13::boolean THEN payload END AS payload
        FROM result_details
        WHERE event_time >= $1 AND event_time <= $3 AND (event_time, id) > ($1::timestamptz, $2::bigint)
          AND ($5::text IS NULL OR orchestrator = $5)
        ORDER BY event_time, id
        LIMIT $4::integer
    )
    UNION ALL
    -- As in raw_stats.sql: addresses that another program wrote in mixed case.
    (
        SELECT
            id, event_time, orchestrator, region_id, tester_id, pipeline, model, is_scored, success_rate, round_trip_time,
            seg_duration, CASE WHEN $13::boolean THEN payload END
        FROM result_details
        WHERE event_time >= $1 AND event_time <= $3 AND (event_time, id) > ($1::timestamptz, $2::bigint)
          AND $5::text IS NOT NULL AND lower(orchestrator) = $5 AND orchestrator <> lower(orchestrator)
        ORDER BY event_time, id
        LIMIT $4::integer
    )
),
read AS MATERIALIZED (
    SELECT
        *, to_json(event_time AT TIME ZONE 'UTC')::text AS moment,
        CASE
            WHEN $13::boolean THEN sum(pg_column_size(payload)) OVER (ORDER BY event_time, id ROWS UNBOUNDED PRECEDING) - pg_column_size(payload)
            ELSE 0
        END AS before
    FROM (SELECT * FROM found ORDER BY event_time, id LIMIT $4::integer) f
)
SELECT
    l.body, l.number, (SELECT count(*) FROM read WHERE before < $14::bigint) AS read, k.event_time, k.id,
    (SELECT count(*) < $4 AND max(before) < $14 FROM read) AS is_last
FROM (
    SELECT convert_to(string_agg(line, ''), 'UTF8') AS body, count(*) AS number
    FROM (
        SELECT
            CASE
                WHEN $12::text = 'csv' THEN concat({include export_csv_line})
                ELSE concat({include export_json_line})
            END AS line
        FROM (
            SELECT
                r.*, s.region, s.job_type, s.is_ai, s.json, t.name AS tester, t.json AS tester_json,
                CASE
                    WHEN octet_length(r.orchestrator) = char_length(r.orchestrator) THEN lower(r.orchestrator COLLATE "C")
                    ELSE lower(r.orchestrator)
                END AS address
            FROM read r
            JOIN places s ON s.id = r.region_id
            LEFT JOIN signers t ON t.id = r.tester_id
            WHERE r.before < $14::bigint AND r.orchestrator <> ''
              AND ($6::text IS NULL OR s.job_type = $6)
              AND ($7::text IS NULL OR s.region = $7)
              AND ($8::text IS NULL OR (s.is_ai AND r.pipeline = $8))
              AND ($9::text IS NULL OR (s.is_ai AND r.model = $9))
              AND ($10::text IS NULL OR t.name = $10)
              AND ($11::boolean IS NULL OR r.is_scored = $11)
            ORDER BY r.event_time, r.id
            LIMIT $15::bigint
        ) r
    ) lines
) l
LEFT JOIN (SELECT event_time, id FROM read WHERE before < $14::bigint ORDER BY event_time DESC, id DESC LIMIT 1) k ON true;
