-- The round trips of the successful AI results of times that are not summed up, nor held in memory.
-- $1 since, $2 until (before), arrays of as many
-- Returns pipeline, model, region_id, round_trips (doubles, in any order).
SELECT e.pipeline, e.model, e.region_id, string_agg(float8send(e.round_trip_time), '') AS round_trips
FROM unnest($1::timestamptz[], $2::timestamptz[]) AS p (since, until)
JOIN results e ON e.event_time >= p.since AND e.event_time < p.until
WHERE e.region_id = ANY(ARRAY(SELECT r.id FROM regions r JOIN job_types j ON j.id = r.job_type_id WHERE j.name = 'ai'))
  AND e.is_scored
  AND e.orchestrator <> ''
  AND e.success_rate = 1
  AND e.round_trip_time <> 0
GROUP BY e.pipeline, e.model, e.region_id;
