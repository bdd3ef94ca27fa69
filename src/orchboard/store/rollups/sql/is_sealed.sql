-- Whether a span is sealed.
-- $1 level, $2 start
-- Returns one row (boolean).
SELECT EXISTS (SELECT FROM spans WHERE level = $1 AND span_start = $2 AND is_sealed);
