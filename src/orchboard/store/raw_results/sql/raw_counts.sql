-- How many stored results of one orchestrator and job type there are in a window, by region. An index-only scan.
-- $1 orchestrator (lower case), $2 since, $3 until, $4 job type; $5 region (code), $6 pipeline, $7 model; null: any
-- Returns for each region that has some: id, name (its code), number; now, the database's clock, and snapshot, as
-- `snapshot` has it. Without any, one row
-- with nulls.
WITH places AS MATERIALIZED (
    SELECT r.id, r.name
    FROM regions r JOIN job_types j ON j.id = r.job_type_id
    WHERE j.name = $4::text AND ($5::text IS NULL OR r.name = $5)
),
-- As in raw_stats.sql: those whose address others wrote in another case.
others AS MATERIALIZED (
    SELECT event_time, region_id, pipeline, model
    FROM results
    WHERE lower(orchestrator) = $1::text AND orchestrator <> lower(orchestrator) AND event_time BETWEEN $2 AND $3
),
found AS NOT MATERIALIZED (
    SELECT event_time, region_id, pipeline, model FROM results WHERE orchestrator = $1::text
    UNION ALL
    SELECT * FROM others
)
SELECT now() AS now, pg_current_snapshot()::text AS snapshot, c.id, c.name, c.number
FROM (SELECT) one
LEFT JOIN (
    SELECT p.id, p.name, f.number
    FROM (
        SELECT region_id, count(*) AS number
        FROM found
        WHERE event_time BETWEEN $2 AND $3
          AND region_id = ANY(ARRAY(SELECT id FROM places))
          AND ($6::text IS NULL OR pipeline = $6)
          AND ($7::text IS NULL OR model = $7)
        GROUP BY region_id
    ) f JOIN places p ON p.id = f.region_id
) c ON true;
