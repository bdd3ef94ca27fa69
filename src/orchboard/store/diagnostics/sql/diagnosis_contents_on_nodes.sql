-- As `diagnosis_contents`, for distributed results. Reads an index of every shard.
SELECT
    (SELECT count(DISTINCT name) FROM regions) AS regions,
    pg_size_pretty(citus_total_relation_size('events')) AS size,
    (
        SELECT extract(epoch FROM clock_timestamp() - max(event_time))::float
        FROM events WHERE event_time <= now() AND event_time > '-infinity'
    ) AS age_s,
    (SELECT count(*) FROM events WHERE orchestrator <> lower(orchestrator)) AS mixed_case;
