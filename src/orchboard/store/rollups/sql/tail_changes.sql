-- What has changed since the previous refresh of a live tail; included in `tail_results` and `detail_tail`.
-- $4 the snapshot of the previous refresh, or null
-- Returns one row: pending, a text that differs whenever pending invalidations or `result_retention` do; changed_since and names_changed, as in
-- `tail_results`.
SELECT p.pending, n.changed_since, n.names_changed
FROM (
    SELECT concat_ws(' ', count(*), sum(id), (SELECT t FROM result_retention t)) AS pending
    FROM rollup_invalidations
    WHERE NOT is_applied
) p, (
    SELECT
        min(greatest(since, '0001-01-02 00:00+00')) FILTER (WHERE since IS NOT NULL) AS changed_since,
        coalesce(bool_or(since IS NULL), FALSE) AS names_changed
    FROM rollup_invalidations
    -- All older ones are visible; this condition finds the others by the index.
    WHERE xid >= pg_snapshot_xmin($4::text::pg_snapshot) AND NOT pg_visible_in_snapshot(xid, $4::text::pg_snapshot)
) n;
