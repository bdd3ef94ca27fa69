-- Moves a batch of old results, newest first, into `events`, whose generated columns hold their numbers.
-- $1 receipt time to start at (9999-12-30 or later: the newest result), $2 batch size
-- Returns one row: number (moved results), reached (receipt time of the oldest of them, within the years 1 to 9999, which
-- Python can represent; null: none is left).
WITH moved AS (
    DELETE FROM events_before
    WHERE ctid = ANY(ARRAY(
        SELECT ctid
        FROM events_before
        WHERE event_time <= CASE WHEN $1::timestamptz >= '9999-12-30 00:00Z' THEN 'infinity' ELSE $1 END
        ORDER BY event_time DESC
        LIMIT $2
        FOR UPDATE SKIP LOCKED
    ))
    RETURNING id, event_time, orchestrator, region_id, payload
),
stored AS (
    INSERT INTO events (id, event_time, orchestrator, region_id, payload)
    SELECT id, event_time, orchestrator, region_id, payload FROM moved
    RETURNING event_time
)
SELECT
    count(*) AS number,
    CASE
        WHEN count(*) > 0 THEN least(greatest(min(event_time), '0001-01-02 00:00:00.000001Z'), '9999-12-30 00:00Z')
    END AS reached
FROM stored;
