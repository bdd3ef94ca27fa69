-- Tells the planner about the results, and index-only scans which pages they need not look at.
VACUUM (ANALYZE) events;
