-- Deletes applied invalidations.
-- $1 the newest id to delete
-- Returns nothing.
DELETE FROM rollup_invalidations WHERE is_applied AND id <= $1;
