-- The number of results of one orchestrator and job type in a window, by region. An index-only scan.
-- $1 orchestrator (lower case), $2 since, $3 until, $4 job type; $5 region (code), $6 pipeline, $7 model; null: any
-- Returns a row for each region with results: id, name (its code), number; now, the database's clock; snapshot, as in
-- `seen_transactions`. Without results, one row with nulls.
WITH matching_regions AS MATERIALIZED (
    SELECT r.id, r.name
    FROM regions r JOIN job_types j ON j.id = r.job_type_id
    WHERE j.name = $4::text AND ($5::text IS NULL OR r.name = $5)
),
-- As in raw_stats.sql: addresses that another program wrote in mixed case.
mixed_case AS MATERIALIZED (
    SELECT event_time, region_id, pipeline, model
    FROM results
    WHERE lower(orchestrator) = $1::text AND orchestrator <> lower(orchestrator) AND event_time BETWEEN $2 AND $3
),
found AS NOT MATERIALIZED (
    SELECT event_time, region_id, pipeline, model FROM results WHERE orchestrator = $1::text
    UNION ALL
    SELECT * FROM mixed_case
)
SELECT now() AS now, {include seen_transactions} AS snapshot, c.id, c.name, c.number
FROM (SELECT) one
LEFT JOIN (
    SELECT p.id, p.name, f.number
    FROM (
        SELECT region_id, count(*) AS number
        FROM found
        WHERE event_time BETWEEN $2 AND $3
          AND region_id = ANY(ARRAY(SELECT id FROM matching_regions))
          AND ($6::text IS NULL OR pipeline = $6)
          AND ($7::text IS NULL OR model = $7)
        GROUP BY region_id
    ) f JOIN matching_regions p ON p.id = f.region_id
) c ON true;
