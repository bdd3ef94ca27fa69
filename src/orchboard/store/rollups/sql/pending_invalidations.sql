-- The invalidations that are not applied yet, and not under way in another process. Locks them.
-- Returns id, since, until (both null: about regions), cut where Python's datetimes end, with room for the spans around
-- them; ordered by id, $1 at most; none when there are none.
SELECT
    id,
    CASE WHEN since IS NOT NULL THEN least(greatest(since, '0001-01-02 00:00+00'), '9999-01-01 00:00+00') END AS since,
    CASE WHEN until IS NOT NULL THEN least(greatest(until, '0001-01-02 00:00+00'), '9999-01-01 00:00+00') END AS until
FROM rollup_invalidations
WHERE NOT is_applied
ORDER BY id
LIMIT $1
FOR UPDATE SKIP LOCKED;
