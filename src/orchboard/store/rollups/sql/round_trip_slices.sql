-- Slices of stored lists of round trips.
-- $1 ids, $2 first element of each slice, from 0, $3 length of each slice: arrays of equal length
-- Returns id, round_trips (doubles, sorted); no row for a list that was rebuilt meanwhile.
SELECT s.id, substring(s.round_trips FROM a.first * 8 + 1 FOR a.number * 8) AS round_trips
FROM unnest($1::bigint[], $2::integer[], $3::integer[]) AS a (id, first, number)
CROSS JOIN LATERAL (SELECT id, round_trips FROM rollup_round_trips WHERE id = a.id OFFSET 0) s;
