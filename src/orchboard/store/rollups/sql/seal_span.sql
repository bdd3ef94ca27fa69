-- Marks a span as sealed, with the number of its results. The first statement of its summing up: whoever
-- stores a late result in it waits here for the end of that, or is waited for.
-- $1 level, $2 start, $3 end
INSERT INTO spans (level, span_start, span_end, is_sealed)
VALUES ($1, $2, $3, true)
ON CONFLICT (level, span_start) DO UPDATE SET is_sealed = true, revision = DEFAULT;
