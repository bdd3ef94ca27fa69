-- All names of orchestrators, sorted by address.
-- Returns orchestrator (lower case), name, source ('operator' or 'url'), updated_at. Empty: no orchestrator has a name.
SELECT orchestrator, name, source, updated_at FROM orchestrator_names ORDER BY orchestrator COLLATE "C";
