-- Whether a result exists, by receipt time and orchestrator.
-- $1 receipt time, $2 orchestrator (as stored)
-- Returns one row (boolean).
SELECT EXISTS (SELECT FROM results WHERE event_time = $1 AND orchestrator = $2);
