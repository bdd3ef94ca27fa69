-- orchboard: no transaction
-- Takes back 9.

DROP INDEX CONCURRENTLY IF EXISTS events_key;
-- squawk-ignore ban-concurrent-index-creation-in-transaction
CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS events_key ON events (orchestrator, event_time, id);
-- squawk-ignore ban-drop-constraint -- another of the same takes its place
ALTER TABLE events DROP CONSTRAINT events_pkey, ADD CONSTRAINT events_pkey PRIMARY KEY USING INDEX events_key;
