-- The sums of scored results in a range without a rollup, such as during a backfill.
-- $1 since, $2 until (excluded), $3 job type
-- Returns a row for each orchestrator (lower case), pipeline and model: region_ids, results (counts), and the sums of each measure, bytes of
-- equal numbers of integers and doubles in one order. One row for all would take 100 MB in the reader where there are 300,000 groups.
SELECT
    g.orchestrator, g.pipeline, g.model,
    string_agg(int4send(g.region_id), '') AS region_ids,
    string_agg(int4send(g.results::integer), '') AS results,
    {each measure: string_agg(float8send(g.@), '') AS @}
FROM (
    SELECT orchestrator, region_id, pipeline, model, count(*) AS results, {each measure: sum(@) AS @}
    FROM scored_results
    WHERE event_time >= $1 AND event_time < $2 AND job_type = $3
    GROUP BY 1, 2, 3, 4
) g
GROUP BY g.orchestrator, g.pipeline, g.model;
