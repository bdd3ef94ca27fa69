-- The running transactions of every node that may have written something, including prepared ones. Needs Citus.
-- Returns node, success, result (transactions, separated by spaces), a row for each node.
SELECT nodeid AS node, success, result
FROM run_command_on_all_nodes($command$
    SELECT coalesce(string_agg(xid, ' '), '')
    FROM (
        SELECT backend_xid::text AS xid
        FROM pg_stat_activity
        WHERE datname = current_database() AND backend_xid IS NOT NULL
        UNION ALL
        SELECT transaction::text FROM pg_prepared_xacts WHERE database = current_database()
    ) t
$command$);
