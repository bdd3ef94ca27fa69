-- Results that no bucket of a granularity covers, inside the range in which its buckets were built.
-- $1 granularity (six hours), $2 since, $3 until (excluded)
-- Returns event_time, one for each six hours in UTC.
SELECT min(e.event_time) AS event_time
FROM rollup_progress p
JOIN results e ON e.event_time >= greatest(p.materialized_since, $2, results_kept_since()) AND e.event_time < least(p.materialized_until, $3)
WHERE p.granularity = $1
  AND NOT EXISTS (
      SELECT FROM rollup_buckets b
      WHERE b.granularity = $1 AND b.bucket_start <= e.event_time AND b.bucket_end > e.event_time
  )
GROUP BY date_bin('6 hours', e.event_time, '2000-01-01 00:00+00');
