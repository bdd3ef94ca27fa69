-- Rollup groups by id.
-- $1 ids
-- Returns id, orchestrator (lower case), region_id, pipeline, model.
SELECT id, orchestrator, region_id, pipeline, model FROM rollup_groups WHERE id = ANY($1::integer[]);
