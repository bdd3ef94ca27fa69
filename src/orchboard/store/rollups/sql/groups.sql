-- Rollup groups by id.
-- $1 ids
-- Returns orchestrator (lower case), pipeline, model, ids and region_ids: bytea of 4 bytes for each group, in one order. A row for
-- each group would cost ten times as much with many regions.
SELECT
    g.orchestrator, g.pipeline, g.model,
    string_agg(int4send(g.id), '') AS ids,
    string_agg(int4send(g.region_id), '') AS region_ids
FROM unnest($1::integer[]) AS a (id)
JOIN rollup_groups g ON g.id = a.id
GROUP BY 1, 2, 3;
