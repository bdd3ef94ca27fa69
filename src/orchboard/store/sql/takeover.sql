-- How far the taking over of a database is. Counts nothing: what is said to be about so many comes from the statistics.
-- Returns one row: is_settled (no old table is left), unmoved (about how many results wait to be moved), results
-- (about how many there are, those included), summed_up (how many are in sealed spans of six hours, the shortest
-- that are kept), and is_summed_up (nothing that is over waits to be summed up, on any level that is kept for ever).
SELECT
    b.id IS NULL AS is_settled,
    greatest(coalesce(pg_stat_get_live_tuples(b.id), 0), 0) AS unmoved,
    greatest(pg_stat_get_live_tuples('events'::regclass), 0)
    + greatest(coalesce(pg_stat_get_live_tuples(b.id), 0), 0) AS results,
    (SELECT coalesce(sum(results), 0)::bigint FROM spans WHERE level = 2 AND is_sealed) AS summed_up,
    (SELECT count(*) FROM sealing WHERE level >= 2) = 3
    AND NOT EXISTS (SELECT FROM spans WHERE NOT is_sealed AND span_end < now() - interval '5 minutes')
    AND NOT EXISTS (
        SELECT
        FROM sealing s
        CROSS JOIN LATERAL (
            SELECT event_time FROM results WHERE event_time < s.sealed_since ORDER BY event_time DESC LIMIT 1
        ) e
        WHERE s.level >= 2
    ) AS is_summed_up
FROM (SELECT to_regclass('events_before')::oid AS id) b;
