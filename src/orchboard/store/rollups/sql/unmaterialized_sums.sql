-- The sums of scored results in ranges without a rollup, such as during a backfill.
-- $1 since, $2 until (excluded): arrays of equal length; $3 job type
-- Returns pipeline, model, and arrays of equal length: orchestrators (lower case), region_ids, results (counts), and the sums of
-- each measure; no rows without results.
SELECT
    g.pipeline, g.model,
    array_agg(g.orchestrator) AS orchestrators,
    array_agg(g.region_id) AS region_ids,
    string_agg(int4send(g.results::integer), '') AS results,
    {each measure: string_agg(float8send(g.@), '') AS @}
FROM (
    SELECT e.orchestrator, e.region_id, e.pipeline, e.model, count(*) AS results, {each measure: sum(e.@) AS @}
    FROM unnest($1::timestamptz[], $2::timestamptz[]) AS p (since, until)
    CROSS JOIN LATERAL (
        SELECT orchestrator, region_id, pipeline, model, {each measure: @}
        FROM scored_results
        WHERE event_time >= p.since AND event_time < p.until AND job_type = $3
        OFFSET 0  -- makes a planner without statistics use the index
    ) e
    GROUP BY 1, 2, 3, 4
) g
GROUP BY g.pipeline, g.model;
