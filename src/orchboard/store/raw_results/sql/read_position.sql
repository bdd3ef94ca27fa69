-- Where a reader of new results stands now.
-- Returns one row: now, the database's clock; snapshot, as in `seen_transactions`.
SELECT now() AS now, {include seen_transactions} AS snapshot;
