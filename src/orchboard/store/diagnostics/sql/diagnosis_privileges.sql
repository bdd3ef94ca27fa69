-- The privileges that this role has to migrate the schema.
-- Returns one row: role, schema (null: the search_path names no existing schema that it may use), hidden (the first schema of the
-- search_path that exists and that it may not use, or null), may_create (in the schema), owns_events (true if
-- the table is missing), has_events.
SELECT
    current_user AS role,
    current_schema() AS schema,
    (
        SELECT n.nspname
        FROM unnest(string_to_array(current_setting('search_path'), ',')) WITH ORDINALITY AS p (name, number)
        JOIN pg_namespace n ON n.nspname = replace(trim(p.name, ' "'), '$user', current_user)
        WHERE NOT has_schema_privilege(n.oid, 'USAGE')
        ORDER BY p.number
        LIMIT 1
    ) AS hidden,
    coalesce(has_schema_privilege(current_schema(), 'CREATE'), FALSE) AS may_create,
    coalesce(
        (SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = to_regclass('events')), TRUE
    ) AS owns_events,
    to_regclass('events') IS NOT NULL AS has_events;
