-- Has one transaction of all restores of this database at a time: what one has just stored the next one sees.
SELECT pg_advisory_xact_lock(6026100823512274);
