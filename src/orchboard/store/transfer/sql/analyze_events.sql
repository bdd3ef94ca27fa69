-- Updates the planner's statistics after a bulk load; autovacuum would do it a minute later. Returns nothing.
ANALYZE events;
