-- The sums of scored results in a range without a rollup, such as during a backfill.
-- $1 since, $2 until (excluded), $3 job type
-- Returns pipeline, model, and arrays of equal length: orchestrators (lower case), region_ids, results (counts), and the sums of
-- each measure; no rows without results.
SELECT
    g.pipeline, g.model,
    array_agg(g.orchestrator) AS orchestrators,
    array_agg(g.region_id) AS region_ids,
    string_agg(int4send(g.results::integer), '') AS results,
    {each measure: string_agg(float8send(g.@), '') AS @}
FROM (
    SELECT orchestrator, region_id, pipeline, model, count(*) AS results, {each measure: sum(@) AS @}
    FROM scored_results
    WHERE event_time >= $1 AND event_time < $2 AND job_type = $3
    GROUP BY 1, 2, 3, 4
) g
GROUP BY g.pipeline, g.model;
