-- Replaces the names that were fetched from NAMES_URL; names set by the operator are not changed. Writes only differences.
-- $1 orchestrators (array, lower case, each once), $2 their names (array)
-- Returns one row: stored (number of new and changed names), removed (number of names that are not in the arrays).
WITH wanted AS (
    SELECT * FROM unnest($1::text[], $2::text[]) AS w (orchestrator, name)
), gone AS (
    DELETE FROM orchestrator_names n
    WHERE n.source = 'url' AND NOT EXISTS (SELECT FROM wanted w WHERE w.orchestrator = n.orchestrator)
    RETURNING 1
), stored AS (
    INSERT INTO orchestrator_names AS n (orchestrator, name, source)
    SELECT w.orchestrator, w.name, 'url'
    FROM wanted w
    WHERE NOT EXISTS (
        SELECT FROM orchestrator_names o
        WHERE o.orchestrator = w.orchestrator AND (o.name = w.name OR o.source = 'operator')
    )
    ORDER BY w.orchestrator
    ON CONFLICT (orchestrator) DO UPDATE SET name = excluded.name, updated_at = now() WHERE n.source = 'url'
    RETURNING 1
)
SELECT (SELECT count(*) FROM stored) AS stored, (SELECT count(*) FROM gone) AS removed;
