-- The receipt time of the first result at or after a time; ignores the future. Where results are not kept, the start of the first
-- rollup with results.
-- $1 time
-- Returns event_time; no row if there is none.
(
    SELECT greatest(bucket_start, $1) AS event_time
    FROM rollup_buckets
    WHERE granularity IN (3, 4) AND results > 0 AND bucket_end > $1 AND bucket_end <= results_kept_since()
    ORDER BY bucket_start
    LIMIT 1
)
UNION ALL
(SELECT event_time FROM results WHERE event_time >= $1 AND event_time <= now() ORDER BY event_time LIMIT 1)
ORDER BY event_time
LIMIT 1;
