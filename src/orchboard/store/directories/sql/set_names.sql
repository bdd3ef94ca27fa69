-- Stores names set by the operator; a name that is there already keeps its time.
-- $1 orchestrators (array, lower case, each once), $2 their names (array)
-- Returns one row: added, changed, unchanged (numbers of names, compared with those before).
WITH wanted AS (
    SELECT * FROM unnest($1::text[], $2::text[]) AS w (orchestrator, name)
), stored AS (
    INSERT INTO orchestrator_names (orchestrator, name, source)
    SELECT w.orchestrator, w.name, 'operator'
    FROM wanted w
    WHERE NOT EXISTS (
        SELECT FROM orchestrator_names n
        WHERE n.orchestrator = w.orchestrator AND n.name = w.name AND n.source = 'operator'
    )
    ORDER BY w.orchestrator
    ON CONFLICT (orchestrator) DO UPDATE SET name = excluded.name, source = excluded.source, updated_at = now()
)
SELECT
    count(*) FILTER (WHERE n.name IS NULL) AS added,
    count(*) FILTER (WHERE n.name <> w.name) AS changed,
    count(*) FILTER (WHERE n.name = w.name) AS unchanged
FROM wanted w
LEFT JOIN orchestrator_names n ON n.orchestrator = w.orchestrator;
