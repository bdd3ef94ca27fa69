-- Stores the sums of a bucket's scored results, after `build_groups`.
-- $1 granularity, $2 start, $3 end
INSERT INTO rollup_sums (granularity, bucket_start, job_type_id, pipeline, model, groups, results, {each measure: @})
SELECT
    $1, $2, g.job_type_id, g.pipeline, g.model,
    string_agg(int4send(s.id), ''),
    string_agg(int4send(g.results::integer), ''),
    {each measure: string_agg(float8send(g.@), '')}
FROM (
    SELECT job_type_id, orchestrator, region_id, pipeline, model, count(*) AS results, {each measure: sum(@) AS @}
    FROM scored_results
    WHERE event_time >= $2 AND event_time < $3 AND job_type_id IS NOT NULL
    GROUP BY 1, 2, 3, 4, 5
) g
JOIN rollup_groups s ON s.orchestrator = g.orchestrator AND s.region_id = g.region_id
    AND s.pipeline = g.pipeline AND s.model = g.model
GROUP BY g.job_type_id, g.pipeline, g.model;
