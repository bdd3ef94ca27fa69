-- Stores results of one orchestrator and job type from a time range. Skips a result while the database has as many equal ones,
-- received in the range, as the source has up to it. Results of the time whose results are not kept are not stored.
-- $1 orchestrator (lower case), $2 job type, $3 mirror id, $4 since, $5 until (Unix seconds, exclusive);
-- arrays with one item per result: $6 receipt time, $7 region, $8 payload (JSON text), $9 number of equal results before it
-- Returns one row: stored (inserted results), without_region (results whose region does not exist).
WITH known_regions AS MATERIALIZED (
    SELECT r.name AS region, min(r.id) AS region_id
    FROM regions r
    JOIN job_types j ON j.id = r.job_type_id
    WHERE j.name = $2::text
    GROUP BY 1
),
given AS MATERIALIZED (
    SELECT g.event_time, g.payload::jsonb AS payload, g.copies, g.number, p.region_id
    FROM unnest($6::timestamptz[], $7::text[], $8::text[], $9::integer[])
    WITH ORDINALITY AS g (event_time, region, payload, copies, number)
    LEFT JOIN known_regions p ON p.region = g.region
),
present AS MATERIALIZED (
    SELECT e.region_id, md5(e.payload::text) AS digest, count(*) AS copies
    FROM results e
    WHERE e.orchestrator = $1::text
      AND e.event_time >= to_timestamp($4::bigint) AND e.event_time < to_timestamp($5::bigint)
    GROUP BY 1, 2
),
stored AS (
    INSERT INTO events (event_time, orchestrator, region_id, payload, ob_mirror_id)
    SELECT g.event_time, $1::text, g.region_id, g.payload, $3::integer
    FROM given g
    LEFT JOIN present t ON t.region_id = g.region_id AND t.digest = md5(g.payload::text)
    WHERE g.region_id IS NOT NULL AND g.copies >= coalesce(t.copies, 0) AND g.event_time >= ({include kept_since})
    ORDER BY g.number
    RETURNING 1
)
SELECT
    (SELECT count(*) FROM stored) AS stored,
    (SELECT count(*) FROM given WHERE region_id IS NULL) AS without_region;
