-- Every orchestrator that has a result, as stored, each once: an index look-up for each.
-- Returns orchestrator; no row without results.
WITH RECURSIVE seen AS (
    (SELECT orchestrator FROM results ORDER BY orchestrator LIMIT 1)
    UNION ALL
    SELECT (
        SELECT r.orchestrator FROM results r
        WHERE r.orchestrator > seen.orchestrator ORDER BY r.orchestrator LIMIT 1
    )
    FROM seen
    WHERE seen.orchestrator IS NOT NULL
)
SELECT orchestrator FROM seen WHERE orchestrator IS NOT NULL;
