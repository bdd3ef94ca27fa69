-- The round trips of the shorter spans in a span, one list after the other.
-- $1 level of the shorter ones, $2 start, $3 end
-- Returns pipeline, model, region_id, round_trips (doubles).
SELECT pipeline, model, region_id, string_agg(round_trips, '') AS round_trips
FROM round_trips
WHERE level = $1 AND span_start >= $2 AND span_start < $3
GROUP BY pipeline, model, region_id;
