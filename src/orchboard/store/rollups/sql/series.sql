-- What the integers in `segments` stand for.
-- $1 ids
-- Returns id, orchestrator (lower case), region_id, pipeline, model.
SELECT id, orchestrator, region_id, pipeline, model FROM series WHERE id = ANY($1::integer[]);
