-- The first span of a level that is over and waits to be summed up again.
-- $1 level, $2 moment before which it must have ended
-- Returns span_start; none when there is none.
SELECT span_start FROM spans
WHERE NOT is_sealed AND level = $1 AND span_end <= $2
ORDER BY span_start
LIMIT 1;
