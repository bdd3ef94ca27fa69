-- The current snapshot as text; included where it is read with results. In recovery, where a snapshot lists no transactions, a
-- text like `725:729:*`: of those from 725 on, each may be running, and none from 729 on has begun.
CASE
    WHEN pg_is_in_recovery() THEN concat_ws(
        ':', pg_snapshot_xmin(pg_current_snapshot()),
        pg_snapshot_xmax(pg_current_snapshot())::text::bigint + age(pg_snapshot_xmax(pg_current_snapshot())::xid), '*'
    )
    ELSE pg_current_snapshot()::text
END
