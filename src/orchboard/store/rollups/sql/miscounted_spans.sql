-- Sealed spans of a level that hold another number of results than was summed up: somebody wrote or removed
-- some behind our back.
-- $1 level, $2 since, $3 until
-- Returns span_start, span_end.
SELECT s.span_start, s.span_end
FROM spans s
WHERE s.level = $1 AND s.span_start >= $2 AND s.span_start < $3 AND s.is_sealed
  AND s.results <> (
      SELECT count(*) FROM results e WHERE e.event_time >= s.span_start AND e.event_time < s.span_end
  );
