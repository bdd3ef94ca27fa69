-- How far the taking over of a database is. Counts nothing: what is said to be about so many comes from the statistics.
-- $1 the levels that are kept for ever, from the shortest on
-- Returns one row: is_settled (no old table is left), unmoved (about how many results wait to be moved), results
-- (about how many there are, those included), summed_up (how many are in sealed spans of the shortest of these
-- levels), and is_summed_up (nothing that is over waits to be summed up on any of them).
SELECT
    b.id IS NULL AS is_settled,
    greatest(coalesce(pg_stat_get_live_tuples(b.id), 0), 0) AS unmoved,
    greatest(pg_stat_get_live_tuples('events'::regclass), 0)
    + greatest(coalesce(pg_stat_get_live_tuples(b.id), 0), 0) AS results,
    (SELECT coalesce(sum(results), 0)::bigint FROM spans WHERE level = ($1::smallint[])[1] AND is_sealed) AS summed_up,
    (SELECT count(*) FROM sealing WHERE level = ANY($1::smallint[])) = cardinality($1::smallint[])
    AND NOT EXISTS (
        SELECT FROM spans
        WHERE NOT is_sealed AND level = ANY($1::smallint[]) AND span_end < now() - interval '5 minutes'
    )
    AND NOT EXISTS (
        SELECT
        FROM sealing s
        CROSS JOIN LATERAL (
            SELECT event_time
            FROM results
            WHERE event_time < s.sealed_since AND event_time >= '0001-02-01 00:00Z' -- no span begins earlier
            ORDER BY event_time DESC
            LIMIT 1
        ) e
        WHERE s.level = ANY($1::smallint[])
    ) AS is_summed_up
FROM (SELECT to_regclass('events_before')::oid AS id) b;
