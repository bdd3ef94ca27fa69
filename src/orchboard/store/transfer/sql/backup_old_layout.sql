-- Makes the view that a backup reads, where the schema is older than it; to be rolled back with the transaction.
CREATE TEMPORARY VIEW results AS SELECT event_time, orchestrator, region_id, payload FROM events;
