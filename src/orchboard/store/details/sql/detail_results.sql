-- The first results of a range with everything that details are made of.
-- $1 since, $2 until (excluded), $3 how many; all that were received at the same moment as the last
-- Returns one row, as `detail_columns`.
WITH chosen AS (
    SELECT event_time, orchestrator, region_id, tester_id, pipeline, model, is_scored, payload, {each measure: @}
    FROM result_details
    WHERE event_time >= $1 AND event_time < $2 AND region_id IS NOT NULL
    ORDER BY event_time
    FETCH FIRST ($3) ROWS WITH TIES
)
{include detail_columns};
