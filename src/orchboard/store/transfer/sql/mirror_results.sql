-- Stores results of one orchestrator and job type that were found in a span, each unless as many equal ones were received
-- in it as the source has up to this one.
-- $1 orchestrator (lower case), $2 job type, $3 mirror id, $4 since, $5 until (Unix seconds; not included);
-- arrays with an item a result: $6 receipt time, $7 region, $8 payload (JSON text), $9 how many equal ones are before it
-- Returns one row: stored, how many were stored; placeless, how many name a region that there is not.
WITH places AS MATERIALIZED (
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
    LEFT JOIN places p ON p.region = g.region
),
there AS MATERIALIZED (
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
    LEFT JOIN there t ON t.region_id = g.region_id AND t.digest = md5(g.payload::text)
    WHERE g.region_id IS NOT NULL AND g.copies >= coalesce(t.copies, 0)
    ORDER BY g.number
    RETURNING 1
)
SELECT
    (SELECT count(*) FROM stored) AS stored,
    (SELECT count(*) FROM given WHERE region_id IS NULL) AS placeless;
