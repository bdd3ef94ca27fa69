-- The round trips of one bucket, as a digest of each list: those of a month may be too many to read.
-- $1 granularity, $2 start
-- Returns pipeline, model, region_id, first_bin, bin_counts, digest; no rows if it has none.
SELECT pipeline, model, region_id, first_bin, bin_counts, sha256(round_trips) AS digest
FROM rollup_round_trips
WHERE granularity = $1 AND bucket_start = $2;
