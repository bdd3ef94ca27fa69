-- Where a reader of new results stands now.
-- Returns one row: now, the database's clock; snapshot, as in `snapshot`.
SELECT now() AS now, pg_current_snapshot()::text AS snapshot;
