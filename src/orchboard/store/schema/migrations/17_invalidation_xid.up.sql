-- 17: readers look for the invalidations since their last read. Without the index they read all, of which a load of a year
-- leaves half a million. CREATE INDEX blocks whoever changes older results for that time: below a second for a million rows.
CREATE INDEX idx_rollup_invalidations_xid ON rollup_invalidations (xid);
