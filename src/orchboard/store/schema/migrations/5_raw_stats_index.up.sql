-- orchboard: no transaction
-- 5: what raw_stats asks for, an orchestrator's results in a window. `lower` because rows that the
-- reference server wrote have the case that the tester sent.
-- Built while results come in. The first line removes what an attempt that broke off has left.

DROP INDEX CONCURRENTLY IF EXISTS idx_events_orchestrator_event_time;
-- squawk-ignore ban-concurrent-index-creation-in-transaction
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_events_orchestrator_event_time ON events (lower(orchestrator), event_time);
