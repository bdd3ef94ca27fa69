-- orchboard: no transaction
-- 9: the index of a result's key also holds what raw_stats chooses by: an orchestrator's results of one region, or of
-- one pipeline and model, are found and counted without a look at the others. docs/decisions/0008-held-in-memory.md.
-- Built while results come in. The first line removes what an attempt that broke off has left.

DROP INDEX CONCURRENTLY IF EXISTS events_key;
-- squawk-ignore ban-concurrent-index-creation-in-transaction
CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS events_key ON events (orchestrator, event_time, id) INCLUDE (region_id, pipeline, model);
-- squawk-ignore ban-drop-constraint -- another of the same takes its place
ALTER TABLE events DROP CONSTRAINT events_pkey, ADD CONSTRAINT events_pkey PRIMARY KEY USING INDEX events_key;
