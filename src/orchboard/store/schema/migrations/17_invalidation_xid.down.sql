-- orchboard: no transaction
-- Takes back 17.
DROP INDEX CONCURRENTLY IF EXISTS idx_rollup_invalidations_xid;
