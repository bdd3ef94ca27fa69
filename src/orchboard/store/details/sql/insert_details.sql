-- Stores the details of a bucket for one orchestrator; '' for the network.
-- $1 granularity, $2 start, $3 orchestrator, $4 entries, $5 round trips, $6 errors or null, $7 summary or null
INSERT INTO rollup_details (granularity, bucket_start, orchestrator, entries, round_trips, errors, summary)
VALUES ($1, $2, $3, $4, $5, $6, $7);
