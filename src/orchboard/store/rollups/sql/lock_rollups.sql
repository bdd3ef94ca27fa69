-- Keeps every process from building rollups until the end of the transaction. Waits for builders that are at work.
-- Returns granularity, materialized_since, materialized_until: the range in which every bucket was considered.
SELECT granularity, materialized_since, materialized_until FROM rollup_progress ORDER BY granularity FOR UPDATE;
