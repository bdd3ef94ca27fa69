-- Forgets what a span was summed up to.
-- $1 level, $2 start
WITH s AS (DELETE FROM segments WHERE level = $1 AND span_start = $2),
p AS (DELETE FROM pipelines_seen WHERE level = $1 AND span_start = $2)
DELETE FROM round_trips WHERE level = $1 AND span_start = $2;
