-- Takes back 17.
DROP INDEX idx_rollup_invalidations_xid;
