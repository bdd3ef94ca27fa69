-- The privileges that this role has to migrate the schema.
-- Returns one row: role, schema (null: the search_path names no existing schema), may_create (in the schema), owns_events (true if
-- the table is missing), has_events.
SELECT
    current_user AS role,
    current_schema() AS schema,
    coalesce(has_schema_privilege(current_schema(), 'CREATE'), FALSE) AS may_create,
    coalesce(
        (SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = to_regclass('events')), TRUE
    ) AS owns_events,
    to_regclass('events') IS NOT NULL AS has_events;
