-- Marks invalidations as applied.
-- $1 ids
UPDATE rollup_invalidations SET is_applied = TRUE WHERE id = ANY($1::bigint[]);
