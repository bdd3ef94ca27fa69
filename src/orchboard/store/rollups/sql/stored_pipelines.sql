-- The pipelines and models of one span.
-- $1 level, $2 start
-- Returns pipeline, model, region_id; none when there are none.
SELECT pipeline, model, region_id FROM pipelines_seen WHERE level = $1 AND span_start = $2;
