-- A mirror: the copy of another leaderboard.
-- $1 URL
-- Returns one row: id, since and until of the span being copied (Unix seconds, null without one), position; none when
-- nothing was copied from there.
SELECT id, extract(EPOCH FROM lower(span))::bigint AS since, extract(EPOCH FROM upper(span))::bigint AS until, position
FROM mirrors
WHERE url = $1;
