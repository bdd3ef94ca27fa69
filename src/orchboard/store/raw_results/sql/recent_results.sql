-- The latest results of an orchestrator, of both job types, newest first.
-- $1 orchestrator (lower case), $2 since, $3 until, $4 limit; null means any: $5 job type, $6 region (code), $7 pipeline, $8 model,
-- $9 tester (name; empty: results of no known tester's own key); $10 whether payloads are returned, $11 the stored bytes of them
-- Returns event_time, region (code), job_type, pipeline, model, tester (name; empty), is_scored, outcome, unscored_reason (text;
-- null: missing), members (success_rate, round_trip_time and errors of the payload, as JSON text), payload (text; null if not
-- asked for, or the results down to this one are larger than $11). Empty: there are none.
WITH matching_regions AS MATERIALIZED (
    SELECT r.id, r.name, j.name AS job_type
    FROM regions r JOIN job_types j ON j.id = r.job_type_id
    WHERE ($5::text IS NULL OR j.name = $5) AND ($6::text IS NULL OR r.name = $6)
),
signers AS MATERIALIZED (SELECT id, name FROM testers),
-- Index-only without a tester; the rows are read after LIMIT.
latest AS MATERIALIZED (
    (
        SELECT id, event_time, orchestrator, region_id
        FROM result_details d
        WHERE orchestrator = $1::text AND event_time BETWEEN $2 AND $3
          AND region_id = ANY(ARRAY(SELECT id FROM matching_regions))
          AND ($7::text IS NULL OR pipeline = $7) AND ($8::text IS NULL OR model = $8)
          AND (
              $9::text IS NULL OR d.tester_id = ANY(ARRAY(SELECT id FROM signers WHERE name = $9))
              OR ($9 = '' AND (d.tester_id = ANY(ARRAY(SELECT id FROM signers))) IS NOT TRUE)
          )
        ORDER BY event_time DESC, id DESC
        LIMIT $4::integer
    )
    UNION ALL
    -- Results that another program stored with upper-case letters in the address.
    (
        SELECT id, event_time, orchestrator, region_id
        FROM result_details d
        WHERE lower(orchestrator) = $1::text AND orchestrator <> lower(orchestrator) AND event_time BETWEEN $2 AND $3
          AND region_id = ANY(ARRAY(SELECT id FROM matching_regions))
          AND ($7::text IS NULL OR pipeline = $7) AND ($8::text IS NULL OR model = $8)
          AND (
              $9::text IS NULL OR d.tester_id = ANY(ARRAY(SELECT id FROM signers WHERE name = $9))
              OR ($9 = '' AND (d.tester_id = ANY(ARRAY(SELECT id FROM signers))) IS NOT TRUE)
          )
        ORDER BY event_time DESC, id DESC
        LIMIT $4::integer
    )
)
SELECT l.event_time, p.name AS region, p.job_type, r.pipeline, r.model, coalesce(t.name, '') AS tester, r.is_scored,
       jsonb_build_object(
           'success_rate', r.payload -> 'success_rate', 'round_trip_time', r.payload -> 'round_trip_time',
           'errors', r.payload -> 'errors'
       )::text AS members,
       r.payload ->> 'test_outcome' AS outcome, r.payload ->> 'unscored_reason' AS unscored_reason,
       CASE
           WHEN $10::boolean
            AND sum(pg_column_size(r.payload)) OVER (ORDER BY l.event_time DESC, l.id DESC ROWS UNBOUNDED PRECEDING) <= $11::bigint
           THEN r.payload::text
       END AS payload
FROM (SELECT * FROM latest ORDER BY event_time DESC, id DESC LIMIT $4::integer) l
JOIN result_details r USING (orchestrator, event_time, id)
JOIN matching_regions p ON p.id = l.region_id
LEFT JOIN signers t ON t.id = r.tester_id
ORDER BY l.event_time DESC, l.id DESC;
