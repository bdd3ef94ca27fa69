-- Updates the statistics of the old table, for the planner and for `backfill_progress`. Returns nothing.
ANALYZE events_before;
