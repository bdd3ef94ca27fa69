-- How many results a span was built from.
-- $1 level, $2 start
-- Returns one row (results); none without that span.
SELECT results FROM spans WHERE level = $1 AND span_start = $2;
