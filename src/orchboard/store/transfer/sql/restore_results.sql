-- Stores lines of a backup. Skips a line while the database has as many equal results as the backup has up to it.
-- Arrays with one item per line: $1 line (text), $2 number of equal lines before it in the backup
-- Results of the time whose results are not kept are not stored.
-- Returns one row: stored (inserted results), without_region (results whose region does not exist), not_kept (results of that time).
-- `lines` and `given` are separate and materialized: the planner would otherwise parse each line once per member.
WITH lines AS MATERIALIZED (
    SELECT u.line::jsonb AS line, u.copies FROM unnest($1::text[], $2::integer[]) AS u (line, copies)
),
given AS MATERIALIZED (
    SELECT
        (g.line ->> 'event_time')::timestamptz AS event_time,
        g.line ->> 'orchestrator' AS orchestrator,
        g.line ->> 'region' AS region,
        g.line ->> 'job_type' AS job_type,
        g.line -> 'payload' AS payload,
        g.copies
    FROM lines g
),
known_regions AS MATERIALIZED (
    SELECT r.name AS region, j.name AS job_type, min(r.id) AS region_id
    FROM regions r
    LEFT JOIN job_types j ON j.id = r.job_type_id
    GROUP BY 1, 2
),
with_region_id AS MATERIALIZED (
    SELECT g.*, p.region_id
    FROM given g
    LEFT JOIN known_regions p ON p.region = g.region AND p.job_type IS NOT DISTINCT FROM g.job_type
),
present AS MATERIALIZED (
    SELECT e.orchestrator, e.event_time, e.region_id, e.payload::text AS payload, count(*) AS copies
    FROM (SELECT DISTINCT orchestrator, event_time FROM with_region_id) g
    JOIN results e ON e.orchestrator = g.orchestrator AND e.event_time = g.event_time
    GROUP BY 1, 2, 3, 4
),
stored AS (
    INSERT INTO events (event_time, orchestrator, region_id, payload)
    SELECT p.event_time, p.orchestrator, p.region_id, p.payload
    FROM with_region_id p
    LEFT JOIN present t ON t.orchestrator = p.orchestrator AND t.event_time = p.event_time
        AND t.region_id IS NOT DISTINCT FROM p.region_id AND t.payload = p.payload::text
    WHERE p.event_time >= ({include kept_since}) AND p.copies >= coalesce(t.copies, 0)
    RETURNING event_time
)
SELECT
    count(*) AS stored,
    (SELECT count(*) FROM with_region_id WHERE region IS NOT NULL AND region_id IS NULL) AS without_region,
    (SELECT count(*) FROM with_region_id WHERE event_time < ({include kept_since})) AS not_kept
FROM stored;
