-- Stores the sums of a bucket for one job type, pipeline and model.
-- $1 granularity, $2 start, $3 job type id, $4 pipeline, $5 model, $6 groups, $7 results, $8 sums: an array in the order of
-- MEASURES
INSERT INTO rollup_sums (granularity, bucket_start, job_type_id, pipeline, model, groups, results, {each measure: @})
VALUES ($1, $2, $3, $4, $5, $6, $7, {each measure: ($8::bytea[])[#]});
