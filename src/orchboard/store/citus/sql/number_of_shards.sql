-- The number of shards of the results. 0 if they are not distributed, also when Citus knows `events` only as a table of the coordinator,
-- which it makes of it when a table that it refers to is copied to every node. Needs Citus.
-- Returns one row (number).
SELECT count(*)
FROM pg_dist_shard s JOIN pg_dist_partition p ON p.logicalrelid = s.logicalrelid
WHERE p.logicalrelid = 'events'::regclass AND p.partmethod = 'h';
