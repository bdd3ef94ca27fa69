-- Means of the scored AI results in a window, one row an orchestrator, region, pipeline and model, with the
-- median round trip of the successes of that pipeline and model over all orchestrators.
-- Results without an orchestrator, and those their tester calls unscored, are left out of both.
-- $1 since, $2 until, $3 region, $4 orchestrator, $5 pipeline, $6 model (null: any)
-- Returns orchestrator (lower case), region, pipeline, model, results (count), success_rate, round_trip_time,
-- median_rtt (null: no success with a round trip); none when there is nothing.
WITH scored AS MATERIALIZED (
    SELECT
        lower(e.orchestrator) AS orchestrator,
        r.name AS region,
        coalesce(e.payload ->> 'pipeline', '') AS pipeline,
        coalesce(e.payload ->> 'model', '') AS model,
        payload_number(e.payload, 'success_rate') AS success_rate,
        payload_number(e.payload, 'round_trip_time') AS round_trip_time
    FROM events e
    JOIN regions r ON r.id = e.region_id
    JOIN job_types j ON j.id = r.job_type_id
    WHERE j.name = 'ai'
      AND e.event_time BETWEEN $1 AND $2
      AND ($3::text IS NULL OR r.name = $3)
      AND ($5::text IS NULL OR e.payload ->> 'pipeline' = $5)
      AND ($6::text IS NULL OR e.payload ->> 'model' = $6)
      AND e.orchestrator <> ''
      AND (e.payload ->> 'test_outcome' LIKE 'unscored%') IS NOT TRUE
),
medians AS (
    SELECT pipeline, model, percentile_cont(0.5) WITHIN GROUP (ORDER BY round_trip_time) AS median_rtt
    FROM scored
    WHERE success_rate = 1 AND round_trip_time <> 0
    GROUP BY pipeline, model
)
SELECT
    s.orchestrator, s.region, s.pipeline, s.model,
    count(*) AS results,
    avg(s.success_rate) AS success_rate,
    avg(s.round_trip_time) AS round_trip_time,
    m.median_rtt
FROM scored s
LEFT JOIN medians m ON m.pipeline = s.pipeline AND m.model = s.model
WHERE $4::text IS NULL OR s.orchestrator = $4
GROUP BY s.orchestrator, s.region, s.pipeline, s.model, m.median_rtt
ORDER BY s.orchestrator, s.region, s.pipeline, s.model;
