-- Stores the round trips of a bucket for one pipeline, model and region.
-- $1 granularity, $2 start, $3 pipeline, $4 model, $5 region id, $6 first bin, $7 counts by bin (null: a short list),
-- $8 round trips
INSERT INTO rollup_round_trips (granularity, bucket_start, pipeline, model, region_id, first_bin, bin_counts, round_trips)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8);
