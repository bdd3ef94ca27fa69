-- What has changed since the previous refresh of a live tail; included in `tail_results` and `detail_tail`.
-- $4 the snapshot of the previous refresh, or null
-- Returns one row: pending, a text that differs whenever pending invalidations do; changed_since and names_changed, as in
-- `tail_results`.
SELECT
    concat_ws(' ', count(*) FILTER (WHERE NOT is_applied), sum(id) FILTER (WHERE NOT is_applied)) AS pending,
    min(greatest(since, '0001-01-02 00:00+00')) FILTER (WHERE is_new AND since IS NOT NULL) AS changed_since,
    coalesce(bool_or(since IS NULL AND is_new), FALSE) AS names_changed
FROM (
    SELECT id, since, is_applied, NOT pg_visible_in_snapshot(xid, $4::text::pg_snapshot) AS is_new
    FROM rollup_invalidations
) n;
