-- The round trips of the successful AI results in ranges without a rollup.
-- $1 since, $2 until (excluded): arrays of equal length
-- Returns pipeline, model, region_id, round_trips (doubles, in any order).
SELECT e.pipeline, e.model, e.region_id, string_agg(float8send(e.round_trip_time), '') AS round_trips
FROM unnest($1::timestamptz[], $2::timestamptz[]) AS p (since, until)
CROSS JOIN LATERAL (
    SELECT region_id, pipeline, model, round_trip_time
    FROM scored_results
    WHERE event_time >= p.since AND event_time < p.until AND is_success
    OFFSET 0  -- makes a planner without statistics use the index
) e
GROUP BY e.pipeline, e.model, e.region_id;
