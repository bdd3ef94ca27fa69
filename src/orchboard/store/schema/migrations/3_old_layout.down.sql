-- Takes back 3: for each row of the old tables, the oldest result with the same payload goes.
-- So results that were posted since stay, even one that repeats an old one to the letter, and what
-- the reference server moved goes as well. The old tables were never touched and still hold it all.

DO $$
DECLARE
    old_rows text;
BEGIN
    SELECT string_agg(
        format('SELECT %L AS region, stats FROM %I.%I', upper(old.name), current_schema(), old.name),
        ' UNION ALL ' ORDER BY old.name
    )
    INTO old_rows
    FROM unnest(ARRAY[
        'mdw', 'fra', 'sin', 'nyc', 'lax', 'lon', 'prg', 'sao', 'atl', 'hnd', 'mad',
        'mia', 'mos2', 'sto', 'syd', 'sea', 'tor', 'sjo', 'ash', 'hou', 'atl2'
    ]) AS old (name)
    INNER JOIN pg_class AS class ON class.relname = old.name AND class.relkind IN ('r', 'p')
    INNER JOIN pg_namespace AS namespace
        ON namespace.oid = class.relnamespace AND namespace.nspname = current_schema()
    INNER JOIN pg_attribute AS attribute
        ON attribute.attrelid = class.oid AND attribute.attname = 'stats'
        AND attribute.atttypid = 'jsonb'::regtype AND NOT attribute.attisdropped;

    IF old_rows IS NULL THEN
        RETURN;
    END IF;

    EXECUTE format($remove$
        WITH moved AS (
            SELECT
                CASE
                    WHEN jsonb_typeof(old.stats) = 'object' THEN old.stats
                    ELSE jsonb_build_object('stats', old.stats)
                END AS payload
            FROM (%s) AS old
        ),
        counted AS (
            SELECT moved.payload, count(*) AS copies FROM moved GROUP BY moved.payload
        ),
        ranked AS (
            SELECT events.id, events.payload, row_number() OVER (PARTITION BY events.payload ORDER BY events.id) AS copy
            FROM events
            WHERE events.payload IN (SELECT counted.payload FROM counted)
        )
        DELETE FROM events
        USING ranked INNER JOIN counted ON counted.payload = ranked.payload
        WHERE events.id = ranked.id AND ranked.copy <= counted.copies
    $remove$, old_rows);

    -- A region is taken back when 3 registered it: an AI result of its table asked for it, 2 doesn't
    -- have it, and no result refers to it any more.
    EXECUTE format($unregister$
        DELETE FROM regions
        USING job_types
        WHERE
            regions.job_type_id = job_types.id
            AND job_types.name = 'ai'
            AND regions.name NOT IN ('GLOBAL', 'MDW', 'FRA', 'LAX')
            AND NOT EXISTS (SELECT FROM events WHERE events.region_id = regions.id)
            AND regions.name IN (
                SELECT old.region FROM (%s) AS old
                WHERE coalesce(old.stats ->> 'model', old.stats ->> 'pipeline') IS NOT NULL
            )
    $unregister$, old_rows);
END
$$;
