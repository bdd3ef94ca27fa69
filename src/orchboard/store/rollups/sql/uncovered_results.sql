-- Results that no bucket of a granularity covers, inside the range in which its buckets were built.
-- $1 granularity (six hours), $2 since, $3 until (excluded)
-- Returns event_time, one for each six hours in UTC.
WITH bounds AS MATERIALIZED (
    SELECT greatest(materialized_since, $2, ({include kept_since})) AS since, least(materialized_until, $3) AS until
    FROM rollup_progress
    WHERE granularity = $1
),
six_hours AS MATERIALIZED (
    SELECT date_bin('6 hours', event_time, '2000-01-01 00:00+00') AS start, min(event_time) AS event_time
    FROM results
    WHERE event_time >= (SELECT since FROM bounds) AND event_time < (SELECT until FROM bounds)
    GROUP BY 1
)
SELECT s.event_time
FROM six_hours s
WHERE NOT EXISTS (
    SELECT 1 FROM rollup_buckets b
    WHERE b.granularity = $1 AND b.bucket_start <= s.event_time AND b.bucket_end > s.event_time
);
