-- Removes an orchestrator's name, whoever set it.
-- $1 orchestrator (lower case)
-- Returns one row: source ('operator' or 'url'). Empty: it has no name.
DELETE FROM orchestrator_names WHERE orchestrator = $1::text RETURNING source;
