-- How far a standby has replayed, and which server it is.
-- Returns one row: in_recovery; lsn (bytes), null if this server was never in recovery; started_at; system, the identifier of the
-- cluster, which it shares with its primary; database, its name; gap, the number of transactions from the oldest that may be running on.
SELECT
    pg_is_in_recovery() AS in_recovery,
    (pg_last_wal_replay_lsn() - '0/0')::bigint AS lsn,
    pg_postmaster_start_time() AS started_at,
    (SELECT system_identifier FROM pg_control_system()) AS system,
    current_database() AS database,
    age(pg_snapshot_xmin(pg_current_snapshot())::xid) AS gap;
