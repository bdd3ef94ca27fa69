-- Which pipelines and models were seen where in some sealed spans.
-- $1 levels, $2 starts
-- Returns level, span_start, revision and is_sealed for each span that is there; and arrays of the same length:
-- pipelines, models, region_ids; those null when it saw none.
SELECT
    s.level, s.span_start, s.revision, s.is_sealed,
    p.pipelines, p.models, p.region_ids
FROM unnest($1::smallint[], $2::timestamptz[]) AS a (level, span_start)
JOIN spans s ON s.level = a.level AND s.span_start = a.span_start
CROSS JOIN LATERAL (
    SELECT array_agg(pipeline) AS pipelines, array_agg(model) AS models, array_agg(region_id) AS region_ids
    FROM pipelines_seen
    WHERE level = s.level AND span_start = s.span_start
) p;
