-- Sums up the scored results of a span, after `seal_series`.
-- $1 level, $2 start, $3 end
INSERT INTO segments (level, span_start, job_type_id, pipeline, model,
                      series, results, success_rate, seg_duration, round_trip_time)
SELECT
    $1, $2, g.job_type_id, g.pipeline, g.model,
    string_agg(int4send(s.id), ''),
    string_agg(int4send(g.results::integer), ''),
    string_agg(float8send(g.success_rate), ''),
    string_agg(float8send(g.seg_duration), ''),
    string_agg(float8send(g.round_trip_time), '')
FROM (
    SELECT
        r.job_type_id,
        lower(e.orchestrator) AS orchestrator,
        e.region_id,
        CASE WHEN j.name = 'ai' THEN e.pipeline ELSE '' END AS pipeline,
        CASE WHEN j.name = 'ai' THEN e.model ELSE '' END AS model,
        count(*) AS results,
        sum(e.success_rate) AS success_rate,
        sum(e.seg_duration) AS seg_duration,
        sum(e.round_trip_time) AS round_trip_time
    FROM results e
    JOIN regions r ON r.id = e.region_id
    JOIN job_types j ON j.id = r.job_type_id
    WHERE e.event_time >= $2 AND e.event_time < $3 AND e.is_scored AND e.orchestrator <> ''
    GROUP BY 1, 2, 3, 4, 5
) g
JOIN series s ON s.orchestrator = g.orchestrator AND s.region_id = g.region_id
    AND s.pipeline = g.pipeline AND s.model = g.model
GROUP BY g.job_type_id, g.pipeline, g.model;
