-- The sealed spans that hold a moment of a range.
-- $1 since, $2 until (excluded)
-- Returns level, span_start, span_end, in the order of their starts; none when there are none.
SELECT level, span_start, span_end
FROM spans
WHERE is_sealed AND span_start < $2 AND span_end > $1
ORDER BY span_start, level;
