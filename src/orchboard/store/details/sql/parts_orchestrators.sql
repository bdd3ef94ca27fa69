-- The orchestrators of the shorter buckets inside a bucket; '' for the network.
-- $1 granularity of the shorter ones, $2 start, $3 end
-- Returns orchestrator, sorted.
SELECT DISTINCT orchestrator
FROM rollup_details
WHERE granularity = $1 AND bucket_start >= $2 AND bucket_start < $3
ORDER BY orchestrator;
