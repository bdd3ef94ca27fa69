-- Locks and returns the pending invalidations that no other process is applying.
-- $1 the maximum number
-- Returns id, since, until (both null: a region or tester has changed, or only final rollups are affected), ordered by id; no rows if there are none. The times are limited
-- to the range of Python's datetime, with room for the buckets around them.
SELECT
    id,
    CASE
        WHEN until >= k.kept_since
            THEN least(greatest(since, k.kept_since, '0001-01-02 00:00+00'), '9999-01-01 00:00+00')
    END AS since,
    CASE WHEN until >= k.kept_since THEN least(greatest(until, '0001-01-02 00:00+00'), '9999-01-01 00:00+00') END AS until
FROM rollup_invalidations, results_kept_since() AS k (kept_since)
WHERE NOT is_applied
ORDER BY id
LIMIT $1
FOR UPDATE OF rollup_invalidations SKIP LOCKED;
