-- Deletes some of the results that are not kept, the earliest from a time on. Their rollups stay.
-- $1 time before which results are not kept; $2 the maximum number; $3 the time to start at (0001-01-02 or earlier: the first result);
-- $4 the greatest id of what is deleted
-- Returns one row: number; reached (receipt time of the latest of them, 0001-01-02 or later, which Python can represent; null: none).
-- $3 because each batch would otherwise read the index entries of all results that were deleted since the last vacuum. No ctid:
-- it is unique within one part of a table only, and Citus can't plan it.
WITH latest AS MATERIALIZED (
    SELECT event_time, id
    FROM (
        SELECT event_time, id
        FROM events
        WHERE event_time < $1
          AND event_time >= CASE WHEN $3::timestamptz > '0001-01-02 00:00Z' THEN $3 ELSE '-infinity' END
          AND id <= $4::bigint
        ORDER BY event_time, id
        LIMIT $2
    ) e
    ORDER BY event_time DESC, id DESC
    LIMIT 1
),
deleted AS (
    DELETE FROM events e
    USING latest l
    WHERE e.event_time <= l.event_time
      AND e.event_time >= CASE WHEN $3::timestamptz > '0001-01-02 00:00Z' THEN $3 ELSE '-infinity' END
      AND (e.event_time < l.event_time OR e.id <= l.id)
      AND e.id <= $4::bigint
    RETURNING e.event_time
)
SELECT
    count(*) AS number,
    CASE WHEN count(*) > 0 THEN greatest(max(event_time), '0001-01-02 00:00Z') END AS reached
FROM deleted;
