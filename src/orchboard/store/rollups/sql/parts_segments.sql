-- What the shorter spans in a span were summed up to, one after the other.
-- $1 level of the shorter ones, $2 start, $3 end
-- Returns job_type_id, pipeline, model and the arrays as `segments` has them, in which a series may occur often.
SELECT
    job_type_id, pipeline, model,
    string_agg(series, '') AS series, string_agg(results, '') AS results,
    string_agg(success_rate, '') AS success_rate, string_agg(seg_duration, '') AS seg_duration,
    string_agg(round_trip_time, '') AS round_trip_time
FROM segments
WHERE level = $1 AND span_start >= $2 AND span_start < $3
GROUP BY job_type_id, pipeline, model;
