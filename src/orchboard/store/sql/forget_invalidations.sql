-- Forgets applied invalidations.
-- $1 the newest id to forget
DELETE FROM rollup_invalidations WHERE is_applied AND id <= $1;
