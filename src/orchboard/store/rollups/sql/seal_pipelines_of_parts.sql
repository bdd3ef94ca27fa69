-- Notes which pipelines and models were seen where in the shorter spans of a span.
-- $1 level, $2 start, $3 end, $4 level of the shorter ones
INSERT INTO pipelines_seen (level, span_start, pipeline, model, region_id)
SELECT DISTINCT $1::smallint, $2::timestamptz, pipeline, model, region_id
FROM pipelines_seen
WHERE level = $4 AND span_start >= $2 AND span_start < $3;
