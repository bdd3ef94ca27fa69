-- Whether there is a result of an orchestrator, as stored, received at a moment.
-- $1 event time, $2 orchestrator
-- Returns one row (boolean).
SELECT EXISTS (SELECT FROM results WHERE event_time = $1 AND orchestrator = $2);
