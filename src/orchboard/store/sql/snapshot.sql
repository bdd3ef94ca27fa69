-- The current snapshot as text. It changes exactly when a transaction that writes commits.
-- Returns one row (snapshot).
SELECT pg_current_snapshot()::text AS snapshot;
