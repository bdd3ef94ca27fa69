-- What the primary has committed, for comparison with a standby.
-- Returns one row: now, the database's clock; snapshot, as in `snapshot`; timeline and lsn (bytes), a position in the WAL that every
-- commit in the snapshot, and every earlier one, is before; both 0 in recovery.
SELECT
    now() AS now,
    CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()::text ELSE pg_current_snapshot()::text END AS snapshot,
    {include wal_position};
