-- 3: results of the old layout, one table (id, stats jsonb) per region, become rows of events.
-- Every row arrives, the awkward ones too (docs/migrations.md says what becomes of each); the old
-- tables stay as they are. An AI result in a region known only for transcoding registers the region.

DO $$
DECLARE
    old_rows text;
    read_rows text;
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

    read_rows := format($read$
        SELECT
            old.region,
            CASE
                WHEN coalesce(old.stats ->> 'model', old.stats ->> 'pipeline') IS NULL THEN 'transcoding'
                ELSE 'ai'
            END AS job_type,
            -- Unix seconds of up to twelve digits, from 4714 BC to the year 33658, or milliseconds. Whatever else stands
            -- there counts as 0, as a missing number does everywhere. The pattern leaves nothing that the cast refuses.
            CASE
                WHEN old.stats ->> 'timestamp' ~ '^\s*[+-]?[0-9]{1,100}(\.[0-9]{0,100})?([eE][+-]?[0-9]{1,2})?\s*$'
                    THEN CASE
                        -- 13 digits are milliseconds, of the years 2001 to 2286.
                        WHEN (old.stats ->> 'timestamp')::numeric BETWEEN 1000000000000 AND 9999999999999.999
                            THEN to_timestamp((old.stats ->> 'timestamp')::double precision / 1000)
                        WHEN
                            (old.stats ->> 'timestamp')::numeric >= -210866803200
                            AND (old.stats ->> 'timestamp')::numeric < 1000000000000
                            THEN to_timestamp((old.stats ->> 'timestamp')::double precision)
                        ELSE to_timestamp(0)
                    END
                ELSE to_timestamp(0)
            END AS event_time,
            left(lower(coalesce(old.stats ->> 'orchestrator', '')), 56) AS orchestrator,
            CASE
                WHEN jsonb_typeof(old.stats) = 'object' THEN old.stats
                ELSE jsonb_build_object('stats', old.stats)
            END AS payload
        FROM (%s) AS old
    $read$, old_rows);

    EXECUTE format($register$
        INSERT INTO regions (name, display_name, job_type_id)
        SELECT
            wanted.region,
            coalesce((SELECT min(known.display_name) FROM regions AS known WHERE known.name = wanted.region), wanted.region),
            job_types.id
        FROM (SELECT DISTINCT region, job_type FROM (%s) AS result) AS wanted
        INNER JOIN job_types ON job_types.name = wanted.job_type
        WHERE NOT EXISTS (
            SELECT FROM regions
            WHERE regions.name = wanted.region AND regions.job_type_id = job_types.id
        )
        ORDER BY wanted.region, job_types.id
    $register$, read_rows);

    EXECUTE format($move$
        INSERT INTO events (event_time, orchestrator, region_id, payload)
        SELECT result.event_time, result.orchestrator, regions.id, result.payload
        FROM (%s) AS result
        INNER JOIN job_types ON job_types.name = result.job_type
        INNER JOIN regions ON regions.name = result.region AND regions.job_type_id = job_types.id
        ORDER BY result.event_time
    $move$, read_rows);
END
$$;
