-- The time of the database's clock at the start of the transaction.
-- Returns one row (now).
SELECT now() AS now;
