-- Notes how many results a span holds, by the shorter ones in it.
-- $1 level, $2 start, $3 end, $4 level of the shorter ones
UPDATE spans
SET results = (
    SELECT coalesce(sum(parts.results), 0)
    FROM spans parts
    WHERE parts.level = $4 AND parts.span_start >= $2 AND parts.span_start < $3
)
WHERE level = $1 AND span_start = $2;
