-- Results in no span of a level, although it was built before and after them.
-- $1 level (of six hours), $2 since, $3 until (excluded)
-- Returns event_time, one of each six hours in UTC.
SELECT min(e.event_time) AS event_time
FROM sealing l
JOIN results e ON e.event_time >= greatest(l.sealed_since, $2) AND e.event_time < least(l.sealed_until, $3)
WHERE l.level = $1
  AND NOT EXISTS (
      SELECT FROM spans s WHERE s.level = $1 AND s.span_start <= e.event_time AND s.span_end > e.event_time
  )
GROUP BY date_bin('6 hours', e.event_time, '2000-01-01 00:00+00');
