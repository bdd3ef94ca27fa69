-- Series by ranges of ids.
-- $1 first ids, $2 last ids: arrays of equal length
-- Returns orchestrator (lower case; '' for the network), pipeline, model, tester_id (0 without one), ids and region_ids: bytea of 4
-- bytes for each series, in one order. Fewer rows, as each costs the reader time.
SELECT
    s.orchestrator, s.pipeline, s.model, s.tester_id,
    string_agg(int4send(s.id), '') AS ids,
    string_agg(int4send(s.region_id), '') AS region_ids
FROM unnest($1::integer[], $2::integer[]) AS a (first, last)
JOIN rollup_series s ON s.id BETWEEN a.first AND a.last
GROUP BY 1, 2, 3, 4;
