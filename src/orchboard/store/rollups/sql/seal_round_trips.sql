-- Keeps the round trips of a span's successful AI results: sorted, and counted in buckets where there are
-- more than $4 of them.
-- $1 level, $2 start, $3 end, $4 how many are read whole
WITH successes AS (
    SELECT e.pipeline, e.model, e.region_id, e.round_trip_time
    FROM results e
    JOIN regions r ON r.id = e.region_id
    JOIN job_types j ON j.id = r.job_type_id
    WHERE e.event_time >= $2 AND e.event_time < $3
      AND j.name = 'ai' AND e.is_scored AND e.orchestrator <> ''
      AND e.success_rate = 1 AND e.round_trip_time <> 0
),
lists AS (
    SELECT
        pipeline, model, region_id,
        count(*) AS number,
        round_trip_bucket(min(round_trip_time)) AS first_bucket,
        round_trip_bucket(max(round_trip_time)) AS last_bucket,
        string_agg(float8send(round_trip_time), '' ORDER BY round_trip_time) AS round_trips
    FROM successes
    GROUP BY pipeline, model, region_id
),
counts AS (
    SELECT pipeline, model, region_id, round_trip_bucket(round_trip_time) AS bucket, count(*) AS number
    FROM successes
    GROUP BY 1, 2, 3, 4
),
histograms AS (
    SELECT
        l.pipeline, l.model, l.region_id,
        string_agg(int4send(coalesce(c.number, 0)::integer), '' ORDER BY b.bucket) AS buckets
    FROM lists l
    CROSS JOIN LATERAL generate_series(l.first_bucket, l.last_bucket) AS b (bucket)
    LEFT JOIN counts c ON c.pipeline = l.pipeline AND c.model = l.model AND c.region_id = l.region_id
        AND c.bucket = b.bucket
    WHERE l.number > $4
    GROUP BY l.pipeline, l.model, l.region_id
)
INSERT INTO round_trips (level, span_start, pipeline, model, region_id, first_bucket, buckets, round_trips)
SELECT
    $1, $2, l.pipeline, l.model, l.region_id,
    CASE WHEN h.buckets IS NOT NULL THEN l.first_bucket END, h.buckets, l.round_trips
FROM lists l
LEFT JOIN histograms h ON h.pipeline = l.pipeline AND h.model = l.model AND h.region_id = l.region_id;
