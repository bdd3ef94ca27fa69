-- Serializes the transactions of all restores of this database: each sees the results of those before it.
-- Returns one row without meaning.
SELECT pg_advisory_xact_lock(6026100823512274);
