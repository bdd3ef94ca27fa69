-- What is not in rollups and details yet.
-- $1 granularities, $2 the earliest start of each: arrays of equal length; $3 the number at which the count of results ends; $4 the
-- watermark, as a parameter because no index is searched by the volatile function that reads it
-- Returns one row: results (received after the watermark), buckets (not materialized, though they
-- ended over five minutes ago), buckets_without_details (materialized, and their details are missing or outdated).
SELECT
    (
        SELECT count(*)
        FROM (
            SELECT 1 FROM events
            -- Two bounds: without statistics, the planner expects few rows in a range, and uses the index.
            WHERE event_time >= $4::timestamptz AND event_time <= 'infinity'
            LIMIT $3::bigint
        ) AS newest
    ) AS results,
    count(*) FILTER (WHERE NOT b.is_materialized AND b.bucket_end < now() - interval '5 minutes') AS buckets,
    count(*) FILTER (WHERE b.is_materialized AND b.details_revision IS DISTINCT FROM b.revision) AS buckets_without_details
FROM rollup_buckets b
JOIN unnest($1::smallint[], $2::timestamptz[]) AS g (granularity, since) ON g.granularity = b.granularity
WHERE b.bucket_start >= g.since;
