-- Stores the details of a bucket for some orchestrators.
-- $1 granularity, $2 start; arrays of equal length: $3 orchestrators ('' for the network), $4 entries, $5 round trips, $6 errors (null
-- without any), $7 summaries (null for an orchestrator, and for a month of the network)
INSERT INTO rollup_details (granularity, bucket_start, orchestrator, entries, round_trips, errors, summary)
SELECT $1::smallint, $2::timestamptz, orchestrator, entries, round_trips, errors, summary
FROM unnest($3::text[], $4::bytea[], $5::bytea[], $6::bytea[], $7::bytea[])
    AS d (orchestrator, entries, round_trips, errors, summary);
