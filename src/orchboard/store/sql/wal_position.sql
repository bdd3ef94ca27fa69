-- The position in the WAL that every commit so far is before; included in `primary_position` and `commit_position`.
-- A standby receives only what is flushed: the end of what is not would be waited for in vain.
CASE
    WHEN pg_is_in_recovery() THEN 0
    ELSE ('x' || left(pg_walfile_name(pg_current_wal_flush_lsn()), 8))::bit(32)::bigint
END AS timeline,
CASE
    WHEN pg_is_in_recovery() THEN 0
    WHEN current_setting('synchronous_commit') = 'off' THEN (pg_current_wal_insert_lsn() - '0/0')::bigint
    ELSE (pg_current_wal_flush_lsn() - '0/0')::bigint
END AS lsn
