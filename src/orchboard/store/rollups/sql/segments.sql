-- What some sealed spans were summed up to, for one job type.
-- $1 levels, $2 starts, $3 job type
-- Returns level, span_start, revision and is_sealed for each span that is there; pipeline, model and the arrays as
-- `segments` has them, a row for each pipeline and model; those null when the span holds nothing of the job type.
SELECT
    s.level, s.span_start, s.revision, s.is_sealed,
    g.pipeline, g.model, g.series, g.results, g.success_rate, g.seg_duration, g.round_trip_time
FROM unnest($1::smallint[], $2::timestamptz[]) AS a (level, span_start)
JOIN spans s ON s.level = a.level AND s.span_start = a.span_start
LEFT JOIN segments g ON g.level = s.level AND g.span_start = s.span_start
    AND g.job_type_id = (SELECT id FROM job_types WHERE name = $3);
