-- Forgets the spans of a level that end before a moment: larger ones hold the same.
-- $1 level, $2 moment
WITH old AS (DELETE FROM spans WHERE level = $1 AND span_end <= $2 RETURNING span_start),
g AS (DELETE FROM segments WHERE level = $1 AND span_start IN (SELECT span_start FROM old)),
p AS (DELETE FROM pipelines_seen WHERE level = $1 AND span_start IN (SELECT span_start FROM old))
DELETE FROM round_trips WHERE level = $1 AND span_start IN (SELECT span_start FROM old);
