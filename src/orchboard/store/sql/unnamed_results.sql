-- The number of results, by tester, whose orchestrator is not an Ethereum address. Such orchestrators have no scores unless
-- ORCHESTRATOR_NAMES is any.
-- Reads one entry of the index `events_pkey` for each of at most 10,000 orchestrators, and the results of those without an
-- address.
-- $1 since (receipt time)
-- Returns tester (name; empty: a shared secret), results, example (an orchestrator). Empty: there are no such results.
WITH RECURSIVE named (orchestrator) AS (
    (SELECT orchestrator FROM events ORDER BY orchestrator LIMIT 1)
    UNION ALL
    SELECT (SELECT e.orchestrator FROM events e WHERE e.orchestrator > n.orchestrator ORDER BY e.orchestrator LIMIT 1)
    FROM named n
    WHERE n.orchestrator IS NOT NULL
),
others AS (
    SELECT orchestrator
    FROM (SELECT orchestrator FROM named LIMIT 10000) AS first_ones
    WHERE orchestrator !~* '^0x[0-9a-f]{40}$'
)
SELECT coalesce(t.name, '') AS tester, count(*) AS results, min(o.orchestrator) AS example
FROM others o
JOIN LATERAL (SELECT e.tester_id FROM events e WHERE e.orchestrator = o.orchestrator AND e.event_time >= $1::timestamptz) r ON true
LEFT JOIN testers t ON t.id = r.tester_id
GROUP BY 1
ORDER BY 1;
