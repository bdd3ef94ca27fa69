-- What the database holds, for its operator. Reads every result once.
-- Returns one row: regions (how many codes), size (for people), age_s of the newest result (null: none),
-- mixed_case (results whose orchestrator is not in lower case).
SELECT
    (SELECT count(DISTINCT name) FROM regions) AS regions,
    pg_size_pretty(pg_total_relation_size('events')) AS size,
    (SELECT extract(epoch FROM clock_timestamp() - max(event_time))::float FROM events) AS age_s,
    (SELECT count(*) FROM events WHERE orchestrator <> lower(orchestrator)) AS mixed_case;
