-- Creates the view that a backup reads, for a schema older than the view. Rolled back with the transaction.
-- Returns nothing.
CREATE TEMPORARY VIEW results AS SELECT event_time, orchestrator, region_id, payload FROM events;
