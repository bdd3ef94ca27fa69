-- Notes how many results a span holds. Returns one row (results).
-- $1 level, $2 start, $3 end
UPDATE spans
SET results = (SELECT count(*) FROM results e WHERE e.event_time >= $2 AND e.event_time < $3)
WHERE level = $1 AND span_start = $2
RETURNING results;
