-- The invalidations that are not applied yet, and not under way in another process. Locks them.
-- Returns id, since, until (both null: about regions); ordered by id, $1 at most; none when there are none.
SELECT
    id,
    CASE WHEN since IS NOT NULL THEN greatest(since, '0001-01-02 00:00+00') END AS since,
    CASE WHEN until IS NOT NULL THEN least(until, '9999-12-30 00:00+00') END AS until
FROM rollup_invalidations
WHERE NOT is_applied
ORDER BY id
LIMIT $1
FOR UPDATE SKIP LOCKED;
