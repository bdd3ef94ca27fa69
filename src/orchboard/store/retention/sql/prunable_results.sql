-- What would be deleted.
-- $1 time before which results are not kept
-- Returns one row: results, bytes (of their rows, without indexes), first and last receipt time, last_id (the greatest id); null without any.
SELECT
    count(*) AS results, coalesce(sum(pg_column_size(e.*)), 0)::bigint AS bytes, min(event_time) AS first, max(event_time) AS last,
    max(id)::bigint AS last_id
FROM events e
WHERE event_time < $1;
