-- Sums over the scored results in a window: sealed spans as they were summed up, what lies between them
-- from the results. Results without an orchestrator, and those their tester calls unscored, are left out.
-- $1 since, $2 until, $3 job type, $4 pipeline, $5 model (null: any)
-- Returns pipeline, model (both empty for transcoding), and arrays as `segments` has them: series, results
-- (counts), success_rate, seg_duration, round_trip_time (sums); where series is null, orchestrators (lower case)
-- and region_ids instead. Rows of one pipeline and model are to be added. None when there is nothing.
WITH parts AS MATERIALIZED (
    SELECT level, part_start, part_end FROM window_parts($1, $2)
)
SELECT
    s.pipeline, s.model, s.series, s.results, s.success_rate, s.seg_duration, s.round_trip_time,
    NULL::text[] AS orchestrators, NULL::bytea AS region_ids
FROM parts p
CROSS JOIN LATERAL (
    SELECT *
    FROM segments
    WHERE level = p.level AND span_start = p.part_start
      AND job_type_id = (SELECT id FROM job_types WHERE name = $3)
      AND ($4::text IS NULL OR pipeline = $4)
      AND ($5::text IS NULL OR model = $5)
    OFFSET 0
) s
UNION ALL
SELECT
    g.pipeline, g.model, NULL,
    string_agg(int4send(g.results::integer), ''),
    string_agg(float8send(g.success_rate), ''),
    string_agg(float8send(g.seg_duration), ''),
    string_agg(float8send(g.round_trip_time), ''),
    array_agg(g.orchestrator),
    string_agg(int4send(g.region_id), '')
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
    FROM parts p
    JOIN results e ON e.event_time >= p.part_start AND e.event_time < p.part_end
    WHERE p.level IS NULL
      AND e.region_id IN (SELECT r.id FROM regions r JOIN job_types j ON j.id = r.job_type_id WHERE j.name = $3)
      AND e.is_scored
      AND e.orchestrator <> ''
      AND ($4::text IS NULL OR e.pipeline = $4)
      AND ($5::text IS NULL OR e.model = $5)
    GROUP BY 1, 2, 3, 4
) g
GROUP BY g.pipeline, g.model;
