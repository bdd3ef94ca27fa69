-- Marks spans as to be summed up again, in the transaction that stores results received in them. Waits for
-- a summing up that is under way, which may not have seen those results.
-- $1 levels, $2 starts, $3 ends
INSERT INTO spans (level, span_start, span_end, is_sealed)
SELECT level, span_start, span_end, false
FROM unnest($1::smallint[], $2::timestamptz[], $3::timestamptz[]) AS s (level, span_start, span_end)
ORDER BY level, span_start
ON CONFLICT (level, span_start) DO UPDATE SET is_sealed = false, revision = DEFAULT;
