-- The round trips of the shorter buckets inside a bucket, those of each pipeline, model and region in adjacent rows of about a megabyte.
-- $1 granularity of the shorter ones, $2 start, $3 end
-- Returns pipeline, model, region_id, total (the number of round trips of these three), round_trips (doubles).
SELECT pipeline, model, region_id, (max(total) / 8)::bigint AS total, string_agg(round_trips, '') AS round_trips
FROM (
    SELECT
        pipeline, model, region_id, round_trips,
        sum(octet_length(round_trips)) OVER (PARTITION BY pipeline, model, region_id) AS total,
        sum(octet_length(round_trips)) OVER (PARTITION BY pipeline, model, region_id ORDER BY bucket_start) / 1048576 AS chunk
    FROM rollup_round_trips
    WHERE granularity = $1 AND bucket_start >= $2 AND bucket_start < $3
) part
GROUP BY pipeline, model, region_id, chunk
ORDER BY pipeline, model, region_id;
