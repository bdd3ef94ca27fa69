-- Invalid indexes, which an interrupted CREATE INDEX CONCURRENTLY leaves.
-- Returns name, sorted. Empty: all are valid.
SELECT c.oid::regclass::text AS name
FROM pg_index i
JOIN pg_class c ON c.oid = i.indexrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE NOT i.indisvalid AND n.nspname = current_schema()
ORDER BY name;
