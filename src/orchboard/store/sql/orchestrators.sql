-- All orchestrators with a result, as stored, without duplicates. One index look-up per orchestrator.
-- Returns orchestrator. Empty: there are no results.
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
