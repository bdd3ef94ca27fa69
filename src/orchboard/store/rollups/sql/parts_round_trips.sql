-- The round trips of the shorter buckets inside a bucket, concatenated.
-- $1 granularity of the shorter ones, $2 start, $3 end
-- Returns pipeline, model, region_id, round_trips (doubles).
SELECT pipeline, model, region_id, string_agg(round_trips, '') AS round_trips
FROM rollup_round_trips
WHERE granularity = $1 AND bucket_start >= $2 AND bucket_start < $3
GROUP BY pipeline, model, region_id;
