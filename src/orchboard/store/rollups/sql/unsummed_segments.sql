-- Sums over the scored results of times that are not summed up, nor held in memory: while a database is taken over.
-- Results without an orchestrator, and those their tester calls unscored, are left out.
-- $1 since, $2 until (before), arrays of as many; $3 job type
-- Returns pipeline, model (both empty for transcoding), and arrays of the same length: orchestrators (lower case),
-- region_ids, results (counts), success_rate, seg_duration, round_trip_time (sums). None when there is nothing.
SELECT
    g.pipeline, g.model,
    array_agg(g.orchestrator) AS orchestrators,
    array_agg(g.region_id) AS region_ids,
    string_agg(int4send(g.results::integer), '') AS results,
    string_agg(float8send(g.success_rate), '') AS success_rate,
    string_agg(float8send(g.seg_duration), '') AS seg_duration,
    string_agg(float8send(g.round_trip_time), '') AS round_trip_time
FROM (
    SELECT
        lower(e.orchestrator) AS orchestrator,
        e.region_id,
        CASE WHEN $3 = 'ai' THEN e.pipeline ELSE '' END AS pipeline,
        CASE WHEN $3 = 'ai' THEN e.model ELSE '' END AS model,
        count(*) AS results,
        sum(e.success_rate) AS success_rate,
        sum(e.seg_duration) AS seg_duration,
        sum(e.round_trip_time) AS round_trip_time
    FROM unnest($1::timestamptz[], $2::timestamptz[]) AS p (since, until)
    CROSS JOIN LATERAL (
        SELECT orchestrator, region_id, pipeline, model, success_rate, seg_duration, round_trip_time
        FROM results
        WHERE event_time >= p.since AND event_time < p.until
          AND region_id = ANY(ARRAY(SELECT r.id FROM regions r JOIN job_types j ON j.id = r.job_type_id WHERE j.name = $3))
          AND is_scored
          AND orchestrator <> ''
        OFFSET 0  -- keeps the planner at the index, also without statistics
    ) e
    GROUP BY 1, 2, 3, 4
) g
GROUP BY g.pipeline, g.model;
