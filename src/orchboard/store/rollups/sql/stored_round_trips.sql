-- The round trips of one bucket.
-- $1 granularity, $2 start
-- Returns pipeline, model, region_id, first_bin, bin_counts, round_trips; no rows if it has none.
SELECT pipeline, model, region_id, first_bin, bin_counts, round_trips
FROM rollup_round_trips
WHERE granularity = $1 AND bucket_start = $2;
