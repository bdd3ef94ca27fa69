-- The newest applied invalidation.
-- Returns one row (id); 0 if there is none.
SELECT coalesce(max(id), 0) AS id FROM rollup_invalidations WHERE is_applied;
