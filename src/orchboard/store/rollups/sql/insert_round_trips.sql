-- Keeps the round trips of a span, for one pipeline, model and region.
-- $1 level, $2 start, $3 pipeline, $4 model, $5 region id, $6 first bucket, $7 buckets (null: few), $8 round trips
INSERT INTO round_trips (level, span_start, pipeline, model, region_id, first_bucket, buckets, round_trips)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8);
