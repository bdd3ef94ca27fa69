-- Deletes some of the results that are not kept, the earliest. Their rollups stay.
-- $1 time before which results are not kept; $2 the maximum number
-- Returns one row (number).
WITH deleted AS (
    DELETE FROM events
    WHERE (orchestrator, event_time, id) IN (
        SELECT orchestrator, event_time, id FROM events WHERE event_time < $1 ORDER BY event_time LIMIT $2
    )
    RETURNING 1
)
SELECT count(*) AS number FROM deleted;
