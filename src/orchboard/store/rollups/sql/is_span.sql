-- Whether a span is there, sealed or not.
-- $1 level, $2 start
-- Returns one row (boolean).
SELECT EXISTS (SELECT FROM spans WHERE level = $1 AND span_start = $2);
