-- A text that changes whenever a transaction that writes commits: the current snapshot. In recovery, where a snapshot lists no
-- transactions, the position of replay.
-- Returns one row (snapshot).
SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()::text ELSE pg_current_snapshot()::text END AS snapshot;
