-- Stores the round trips of a bucket's successful AI results: sorted, and counted by bin in lists of more than $4.
-- $1 granularity, $2 start, $3 end, $4 maximum length of a list without counts
WITH successes AS (
    SELECT pipeline, model, region_id, round_trip_time
    FROM scored_results
    WHERE event_time >= $2 AND event_time < $3 AND is_success
),
lists AS (
    SELECT
        pipeline, model, region_id,
        count(*) AS number,
        round_trip_bin(min(round_trip_time)) AS first_bin,
        round_trip_bin(max(round_trip_time)) AS last_bin,
        string_agg(float8send(round_trip_time), '' ORDER BY round_trip_time) AS round_trips
    FROM successes
    GROUP BY pipeline, model, region_id
),
counts AS (
    SELECT pipeline, model, region_id, round_trip_bin(round_trip_time) AS bin, count(*) AS number
    FROM successes
    GROUP BY 1, 2, 3, 4
),
histograms AS (
    SELECT
        l.pipeline, l.model, l.region_id,
        string_agg(int4send(coalesce(c.number, 0)::integer), '' ORDER BY b.bin) AS bin_counts
    FROM lists l
    CROSS JOIN LATERAL generate_series(l.first_bin, l.last_bin) AS b (bin)
    LEFT JOIN counts c ON c.pipeline = l.pipeline AND c.model = l.model AND c.region_id = l.region_id
        AND c.bin = b.bin
    WHERE l.number > $4
    GROUP BY l.pipeline, l.model, l.region_id
)
INSERT INTO rollup_round_trips (granularity, bucket_start, pipeline, model, region_id, first_bin, bin_counts, round_trips)
SELECT
    $1, $2, l.pipeline, l.model, l.region_id,
    CASE WHEN h.bin_counts IS NOT NULL THEN l.first_bin END, h.bin_counts, l.round_trips
FROM lists l
LEFT JOIN histograms h ON h.pipeline = l.pipeline AND h.model = l.model AND h.region_id = l.region_id;
