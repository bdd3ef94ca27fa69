-- Whether each of some time ranges is copied completely.
-- $1 mirror id; arrays with one item per range: $2 since, $3 until (Unix seconds)
-- Returns one row (is_complete) per range, in order; none if the mirror does not exist.
SELECT m.covered @> tstzrange(to_timestamp(s.since), to_timestamp(s.until)) AS is_complete
FROM mirrors m, unnest($2::bigint[], $3::bigint[]) WITH ORDINALITY AS s (since, until, number)
WHERE m.id = $1
ORDER BY s.number;
