-- The progress of a granularity, locked until the end of the transaction.
-- $1 granularity
-- Returns materialized_since, materialized_until, and the database's clock as now; no row if another process holds the lock.
SELECT materialized_since, materialized_until, now() AS now FROM rollup_progress WHERE granularity = $1 FOR UPDATE SKIP LOCKED;
