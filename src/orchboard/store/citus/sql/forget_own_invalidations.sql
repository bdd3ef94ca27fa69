-- Deletes the invalidations of this transaction: what it did changes no answer.
-- Returns nothing.
DELETE FROM rollup_invalidations WHERE xid = pg_current_xact_id_if_assigned();
