-- The current snapshot as text; included where it is read with results. A snapshot does not list transactions that have begun
-- after the last one that ended, and in recovery it lists none. The text `725:729:726*728` says so: 726 runs; each from 728 on may be
-- running; none from 729 on has begun.
CASE
    WHEN pg_is_in_recovery() THEN concat(
        pg_snapshot_xmin(pg_current_snapshot()), ':',
        pg_snapshot_xmax(pg_current_snapshot())::text::bigint + age(pg_snapshot_xmax(pg_current_snapshot())::xid), ':*',
        pg_snapshot_xmin(pg_current_snapshot())
    )
    WHEN age(pg_snapshot_xmax(pg_current_snapshot())::xid) > 0 THEN concat(
        pg_snapshot_xmin(pg_current_snapshot()), ':',
        pg_snapshot_xmax(pg_current_snapshot())::text::bigint + age(pg_snapshot_xmax(pg_current_snapshot())::xid), ':',
        split_part(pg_current_snapshot()::text, ':', 3), '*', pg_snapshot_xmax(pg_current_snapshot())
    )
    ELSE pg_current_snapshot()::text
END
