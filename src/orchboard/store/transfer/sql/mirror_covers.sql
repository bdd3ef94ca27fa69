-- Whether a mirror holds all of each span.
-- $1 mirror id; arrays with an item a span: $2 since, $3 until (Unix seconds)
-- Returns a row (is_covered) for each, in order; none when the mirror is not there.
SELECT m.covered @> tstzrange(to_timestamp(s.since), to_timestamp(s.until)) AS is_covered
FROM mirrors m, unnest($2::bigint[], $3::bigint[]) WITH ORDINALITY AS s (since, until, number)
WHERE m.id = $1
ORDER BY s.number;
