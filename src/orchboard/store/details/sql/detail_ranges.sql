-- Divides the orchestrators of some buckets into ranges of names, by code point, whose details take about as many bytes.
-- $1 granularities, $2 starts: arrays of equal length; $3 bytes of the largest details of a range's orchestrators, at least 1
-- Returns first: the first orchestrator of each range, ascending; no row without details.
WITH largest AS (
    SELECT
        d.orchestrator COLLATE "C" AS orchestrator,
        max(octet_length(d.entries) + coalesce(octet_length(d.errors), 0)) AS bytes
    FROM unnest($1::smallint[], $2::timestamptz[]) AS a (granularity, bucket_start)
    JOIN rollup_details d ON d.granularity = a.granularity AND d.bucket_start = a.bucket_start
    WHERE d.orchestrator <> ''
    GROUP BY 1
),
added AS (
    SELECT orchestrator, sum(bytes) OVER (ORDER BY orchestrator) - bytes AS before
    FROM largest
)
SELECT min(orchestrator) AS first
FROM added
GROUP BY div(before, $3::bigint)
ORDER BY 1;
