-- As `unnamed_results`, for distributed results: reads those since a time, on every node at once. Citus has no recursion over a table.
-- $1 since (receipt time)
SELECT coalesce(t.name, '') AS tester, sum(r.results)::bigint AS results, min(r.orchestrator) AS example
FROM (
    SELECT tester_id, count(*) AS results, min(orchestrator) AS orchestrator
    FROM events
    WHERE event_time >= $1::timestamptz AND orchestrator !~* '^0x[0-9a-f]{40}$'
    GROUP BY tester_id
) r
LEFT JOIN testers t ON t.id = r.tester_id
GROUP BY 1
ORDER BY 1;
