-- orchboard: no transaction
-- Takes back 5.

DROP INDEX CONCURRENTLY IF EXISTS idx_events_orchestrator_event_time;
