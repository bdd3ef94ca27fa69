-- Returns one row (id): the newest applied invalidation, 0 without any.
SELECT coalesce(max(id), 0) AS id FROM rollup_invalidations WHERE is_applied;
