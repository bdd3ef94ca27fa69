-- The contents of a database of any schema version, for `orchboard doctor`. Reads all results in the old table.
-- Returns one row: regions (number of codes), size (formatted), age_s of the newest result (null: none), mixed_case (number of
-- results whose orchestrator is not in lower case).
SELECT
    (SELECT count(DISTINCT name) FROM regions) AS regions,
    pg_size_pretty(
        pg_total_relation_size('events') + coalesce(pg_total_relation_size(to_regclass('events_before')), 0)
    ) AS size,
    (
        SELECT extract(epoch FROM clock_timestamp() - event_time)::float
        FROM event_details WHERE event_time <= now() AND event_time > '-infinity' ORDER BY event_time DESC LIMIT 1
    ) AS age_s,
    (SELECT count(*) FROM event_details WHERE orchestrator <> lower(orchestrator)) AS mixed_case;
