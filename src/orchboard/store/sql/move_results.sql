-- Moves a batch of old results, newest first, into the table that has columns for them; `settle_results` ends that.
-- $1 only results received until then, $2 how many
-- Returns one row: how many were moved, and when the oldest of them was received (null: none left).
WITH moved AS (
    DELETE FROM events_before
    WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM events_before WHERE event_time <= $1 ORDER BY event_time DESC LIMIT $2 FOR UPDATE SKIP LOCKED
    ))
    RETURNING id, event_time, orchestrator, region_id, payload
),
stored AS (
    INSERT INTO events (id, event_time, orchestrator, region_id, payload)
    SELECT id, event_time, orchestrator, region_id, payload FROM moved
    RETURNING event_time
)
SELECT count(*) AS number, min(event_time) AS reached FROM stored;
