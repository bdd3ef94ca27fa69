-- A position in the WAL that the last commit of this connection is before.
-- Returns one row: timeline, lsn (bytes).
SELECT {include wal_position};
