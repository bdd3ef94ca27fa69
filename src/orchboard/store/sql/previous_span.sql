-- The last span of a level that starts before a moment.
-- $1 level, $2 moment
-- Returns one row (span_start), null when there is none.
SELECT max(span_start) AS span_start FROM spans WHERE level = $1 AND span_start < $2;
