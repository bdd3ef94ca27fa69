-- Keeps what a span was summed up to, for one pipeline and model.
-- $1 level, $2 start, $3 job type id, $4 pipeline, $5 model, $6 to $10 the arrays as `segments` has them
INSERT INTO segments (level, span_start, job_type_id, pipeline, model,
                      series, results, success_rate, seg_duration, round_trip_time)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10);
