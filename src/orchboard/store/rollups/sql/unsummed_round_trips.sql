-- The round trips of the successful AI results of times that are not summed up, nor held in memory.
-- $1 since, $2 until (before), arrays of as many
-- Returns pipeline, model, region_id, round_trips (doubles, in any order).
SELECT e.pipeline, e.model, e.region_id, string_agg(float8send(e.round_trip_time), '') AS round_trips
FROM unnest($1::timestamptz[], $2::timestamptz[]) AS p (since, until)
CROSS JOIN LATERAL (
    SELECT region_id, pipeline, model, round_trip_time
    FROM results
    WHERE event_time >= p.since AND event_time < p.until
      AND region_id = ANY(ARRAY(SELECT r.id FROM regions r JOIN job_types j ON j.id = r.job_type_id WHERE j.name = 'ai'))
      AND is_scored
      AND orchestrator <> ''
      AND success_rate = 1
      AND round_trip_time <> 0
    OFFSET 0  -- keeps the planner at the index, also without statistics
) e
GROUP BY e.pipeline, e.model, e.region_id;
