-- orchboard: no transaction
-- 17: readers look for the invalidations since their last read. Without the index they read all, of which a load of a year leaves
-- half a million.
-- Built while results come in. The first line removes what an attempt that broke off has left.

DROP INDEX CONCURRENTLY IF EXISTS idx_rollup_invalidations_xid;
-- squawk-ignore ban-concurrent-index-creation-in-transaction
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_rollup_invalidations_xid ON rollup_invalidations (xid);
