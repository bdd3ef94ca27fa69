-- The round trips of the shorter buckets inside a bucket, those of each pipeline, model and region next to one another.
-- $1 granularity of the shorter ones, $2 start, $3 end
-- Returns pipeline, model, region_id, total (the number of round trips of these three), round_trips (doubles of one bucket).
SELECT
    pipeline, model, region_id,
    (sum(octet_length(round_trips)) OVER (PARTITION BY pipeline, model, region_id) / 8)::bigint AS total,
    round_trips
FROM rollup_round_trips
WHERE granularity = $1 AND bucket_start >= $2 AND bucket_start < $3;
