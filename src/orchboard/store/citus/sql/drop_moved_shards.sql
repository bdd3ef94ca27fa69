-- Deletes what Citus has left of shards that it has moved to another node, which it does by itself later. Can't run in a transaction.
-- Needs Citus. Returns nothing.
CALL citus_cleanup_orphaned_resources();
