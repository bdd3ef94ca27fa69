-- As `read_position`, for distributed results. No snapshot is of all nodes: a receipt time, two seconds ago, stands for one, with
-- its microseconds since 2000 as number of the transaction.
-- Returns one row: now; snapshot.
SELECT now() AS now, concat(t.number, ':', t.number, ':') AS snapshot
FROM (
    SELECT (extract(EPOCH FROM now() - interval '2 seconds' - timestamptz '2000-01-01 00:00+00') * 1000000)::bigint AS number
) t;
