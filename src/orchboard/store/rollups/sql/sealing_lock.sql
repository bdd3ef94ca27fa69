-- How far a level is summed up, kept from others until the end of the transaction.
-- $1 level
-- Returns sealed_since, sealed_until, and the database's clock as now; none when another has it.
SELECT sealed_since, sealed_until, now() AS now FROM sealing WHERE level = $1 FOR UPDATE SKIP LOCKED;
