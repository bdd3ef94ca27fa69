-- Which transactions are visible now: the text stays the same exactly as long as none that writes commits.
-- Returns one row (snapshot).
SELECT pg_current_snapshot()::text AS snapshot;
