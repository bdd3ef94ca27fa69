-- Parts of sealed lists of round trips.
-- $1 ids, $2 for each where its part begins (in doubles, from 0), $3 for each how many
-- Returns id, round_trips (doubles, sorted); a list that was summed up again meanwhile is missing.
SELECT s.id, substring(s.round_trips FROM a.first * 8 + 1 FOR a.number * 8) AS round_trips
FROM unnest($1::bigint[], $2::integer[], $3::integer[]) AS a (id, first, number)
CROSS JOIN LATERAL (SELECT id, round_trips FROM round_trips WHERE id = a.id OFFSET 0) s;
