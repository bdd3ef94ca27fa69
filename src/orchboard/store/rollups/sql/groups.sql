-- Rollup groups by ranges of ids.
-- $1 first ids, $2 last ids: arrays of equal length
-- Returns orchestrator (lower case), pipeline, model, ids and region_ids: bytea of 4 bytes for each group, in one order. Fewer rows, as each costs the reader time.
SELECT
    g.orchestrator, g.pipeline, g.model,
    string_agg(int4send(g.id), '') AS ids,
    string_agg(int4send(g.region_id), '') AS region_ids
FROM unnest($1::integer[], $2::integer[]) AS a (first, last)
JOIN rollup_groups g ON g.id BETWEEN a.first AND a.last
GROUP BY 1, 2, 3;
