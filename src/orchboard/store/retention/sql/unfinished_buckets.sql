-- The rollups that are missing before a time: without them, the results of that time must not be deleted.
-- $1 time
-- Returns one row: invalid, buckets of six hours, a day or a month that are not built; without_details, those without current
-- details; pending, invalidations that are not applied; since and until, between which all days were considered; first, the receipt
-- time of the first result of the time whose results are kept, or null.
SELECT
    count(*) FILTER (WHERE NOT b.is_materialized) AS invalid,
    count(*) FILTER (WHERE b.is_materialized AND b.details_revision IS DISTINCT FROM b.revision) AS without_details,
    (
        SELECT count(*) FROM rollup_invalidations
        WHERE NOT is_applied AND since < $1 AND until >= results_kept_since()
    ) AS pending,
    (SELECT max(materialized_since) FROM rollup_progress WHERE granularity IN (3, 4)) AS since,
    (SELECT min(materialized_until) FROM rollup_progress WHERE granularity IN (3, 4)) AS until,
    (
        SELECT min(event_time) FROM results
        WHERE event_time >= greatest(({include kept_since}), '0001-01-02 00:00+00')
    ) AS first
FROM rollup_buckets b
WHERE b.granularity >= 3 AND b.bucket_end <= $1 AND b.bucket_end > results_kept_since();
