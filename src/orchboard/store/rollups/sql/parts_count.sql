-- Whether the shorter spans in a span hold all of its results: then it can be summed up from them.
-- $1 level of the shorter ones, $2 start, $3 end, $4 how many results it holds
-- Returns one row: is_whole.
SELECT coalesce(sum(results), 0) = $4::bigint AND coalesce(bool_and(is_sealed), true) AS is_whole
FROM spans
WHERE level = $1 AND span_start >= $2 AND span_start < $3;
