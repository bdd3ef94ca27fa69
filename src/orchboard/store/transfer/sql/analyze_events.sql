-- Tells the planner about rows that came in bulk; else it knows nothing of them for a minute.
-- Returns nothing.
ANALYZE events;
