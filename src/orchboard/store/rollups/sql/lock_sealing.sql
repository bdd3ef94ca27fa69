-- Keeps every process from building rollups until the end of the transaction. Waits for those that are at it.
-- Returns level, sealed_since, sealed_until: which spans of each level were looked at.
SELECT level, sealed_since, sealed_until FROM sealing ORDER BY level FOR UPDATE;
