-- Updates the planner's statistics of every shard. Returns nothing.
ANALYZE events;
