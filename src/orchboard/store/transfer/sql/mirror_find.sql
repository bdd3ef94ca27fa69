-- A mirror, by URL.
-- $1 URL
-- Returns one row: id, since and until of the range being copied (Unix seconds, null: none), position. Empty: nothing was
-- copied from there.
SELECT id, extract(EPOCH FROM lower(span))::bigint AS since, extract(EPOCH FROM upper(span))::bigint AS until, position
FROM mirrors
WHERE url = $1;
