-- What has happened on every node. Needs Citus.
-- Returns node, success, result, a row for each node: JSON with snapshot (changes when a transaction that writes has ended there); late,
-- [id, since, until] of the invalidations that are noted there (on a worker), since and until null or in seconds; slow, [transaction, start in seconds] of
-- those that write for over a second.
SELECT nodeid AS node, success, result
FROM run_command_on_all_nodes(format(
    $command$
    SELECT json_build_object(
        'snapshot', pg_current_snapshot()::text,
        'late', (
            SELECT json_agg(json_build_array(id, extract(EPOCH FROM since), extract(EPOCH FROM until)))
            FROM (SELECT id, since, until FROM %1$I.rollup_invalidations ORDER BY id LIMIT 10000) n
            WHERE (SELECT groupid FROM pg_dist_local_group) <> 0
        ),
        'slow', (
            SELECT json_agg(json_build_array(xid, extract(EPOCH FROM start)))
            FROM (
                SELECT backend_xid::text AS xid, xact_start AS start FROM pg_stat_activity
                WHERE datname = current_database() AND backend_xid IS NOT NULL
                UNION ALL
                SELECT transaction::text, prepared FROM pg_prepared_xacts WHERE database = current_database()
            ) t
            WHERE start < clock_timestamp() - interval '1 second'
        )
    )
    $command$,
    current_schema()
), give_warning_for_connection_errors := TRUE);
