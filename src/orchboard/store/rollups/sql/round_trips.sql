-- The round trips of the successful AI results of some sealed spans. Long lists give only how many there are in each
-- bucket; `round_trip_slices` then reads the bucket that matters.
-- $1 levels, $2 starts
-- Returns level, span_start, revision and is_sealed for each span that is there; pipeline, model, region_id and either
-- round_trips (doubles, sorted) or id, first_bucket, buckets (counts), a row for each list; those null without one.
SELECT
    s.level, s.span_start, s.revision, s.is_sealed,
    t.pipeline, t.model, t.region_id, t.id, t.first_bucket, t.buckets,
    CASE WHEN t.buckets IS NULL THEN t.round_trips END AS round_trips
FROM unnest($1::smallint[], $2::timestamptz[]) AS a (level, span_start)
JOIN spans s ON s.level = a.level AND s.span_start = a.span_start
LEFT JOIN round_trips t ON t.level = s.level AND t.span_start = s.span_start;
