-- The results of a materialized bucket with everything that details are made of, for a window that starts or ends inside it.
-- $1 granularity, $2 start
-- Returns one row: revision and is_materialized of the bucket (null if it does not exist), and its results as in `detail_columns`.
WITH chosen AS (
    SELECT event_time, orchestrator, region_id, tester_id, pipeline, model, is_scored, payload, {each measure: @}
    FROM result_details
    WHERE event_time >= $2
      AND event_time < (SELECT bucket_end FROM rollup_buckets WHERE granularity = $1 AND bucket_start = $2)
      AND region_id IS NOT NULL
)
SELECT
    (SELECT revision FROM rollup_buckets WHERE granularity = $1 AND bucket_start = $2) AS revision,
    (SELECT is_materialized FROM rollup_buckets WHERE granularity = $1 AND bucket_start = $2) AS is_materialized,
    r.*
FROM ({include detail_columns}) r;
