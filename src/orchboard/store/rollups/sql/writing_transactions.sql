-- The running transactions of this database that may have written something, including prepared ones.
-- Returns one row (xids: array of text, possibly empty).
SELECT ARRAY(
    SELECT backend_xid::text
    FROM pg_stat_activity
    WHERE datid = (SELECT oid FROM pg_database WHERE datname = current_database()) AND backend_xid IS NOT NULL
    UNION ALL
    SELECT transaction::text FROM pg_prepared_xacts WHERE database = current_database()
) AS xids;
