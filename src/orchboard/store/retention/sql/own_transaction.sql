-- This transaction, as in `writing_transactions`. Returns one row (xid); null if it has written nothing.
SELECT pg_current_xact_id_if_assigned()::xid::text AS xid;
