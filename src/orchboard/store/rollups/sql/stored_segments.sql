-- The sums of one span.
-- $1 level, $2 start
-- Returns the arrays as `segments` has them, a row for each pipeline and model; none when there are none.
SELECT series, results, success_rate, seg_duration, round_trip_time
FROM segments
WHERE level = $1 AND span_start = $2;
