-- The round trips of the successful AI results in a range without a rollup.
-- $1 since, $2 until (excluded)
-- Returns pipeline, model, region_id, round_trips (doubles, in any order).
SELECT pipeline, model, region_id, string_agg(float8send(round_trip_time), '') AS round_trips
FROM scored_results
WHERE event_time >= $1 AND event_time < $2 AND is_success
GROUP BY pipeline, model, region_id;
