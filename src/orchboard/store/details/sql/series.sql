-- Series by id.
-- $1 ids
-- Returns id, orchestrator (lower case; '' for the network), region_id, pipeline, model, tester_id (0 without one).
SELECT id, orchestrator, region_id, pipeline, model, tester_id FROM rollup_series WHERE id = ANY($1::integer[]);
