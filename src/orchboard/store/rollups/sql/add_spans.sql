-- Adds spans that are to be summed up, where there are none.
-- $1 levels, $2 starts, $3 ends, arrays of as many
INSERT INTO spans (level, span_start, span_end, is_sealed)
SELECT level, span_start, span_end, FALSE
FROM unnest($1::smallint[], $2::timestamptz[], $3::timestamptz[]) AS s (level, span_start, span_end)
ON CONFLICT (level, span_start) DO NOTHING;
