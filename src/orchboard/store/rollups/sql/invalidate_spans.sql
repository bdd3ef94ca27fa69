-- Marks the sealed spans that hold a moment of some ranges as to be summed up again.
-- $1 since, $2 until, arrays of as many; both ends included
UPDATE spans s
SET is_sealed = FALSE, revision = DEFAULT
FROM unnest($1::timestamptz[], $2::timestamptz[]) AS r (since, until)
WHERE s.is_sealed AND s.span_start <= r.until AND s.span_end > r.since;
