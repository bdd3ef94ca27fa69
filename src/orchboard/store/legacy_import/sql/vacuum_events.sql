-- Updates the planner's statistics and the visibility map, which index-only scans need. Returns nothing.
VACUUM (ANALYZE) events;
