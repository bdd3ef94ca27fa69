-- A round trip that uses the schema, and the privileges that this role lacks for reads and writes.
-- Returns one row: role, ready (all tables and views for reads and writes exist), missing (the privileges, as in GRANT, sorted),
-- read_only (transactions are), in_recovery (because the server is a standby).
SELECT
    current_user AS role,
    to_regclass('results') IS NOT NULL
    AND to_regclass('idempotency_keys') IS NOT NULL
    AND to_regclass('rollup_details') IS NOT NULL AS ready,
    current_setting('transaction_read_only')::boolean AS read_only,
    pg_is_in_recovery() AS in_recovery,
    ARRAY(
        -- These functions return null for a missing object.
        SELECT p.privilege || ' ON ' || n.name AS lacked
        FROM (VALUES
            ('SELECT, INSERT', 'events'),
            ('SELECT, DELETE', 'events_before'),
            ('SELECT', 'event_details'),
            ('SELECT', 'results'),
            ('SELECT', 'scored_results'),
            ('SELECT', 'result_details'),
            ('SELECT, INSERT', 'regions'),
            ('SELECT', 'job_types'),
            ('SELECT, INSERT, DELETE', 'idempotency_keys'),
            ('SELECT', 'testers'),
            ('SELECT, INSERT, UPDATE, DELETE', 'orchestrator_names'),
            ('SELECT, INSERT, UPDATE, DELETE', 'rollup_buckets'),
            ('SELECT, INSERT, UPDATE', 'rollup_progress'),
            ('SELECT, INSERT', 'rollup_groups'),
            ('SELECT, INSERT, DELETE', 'rollup_sums'),
            ('SELECT, INSERT, DELETE', 'rollup_round_trips'),
            ('SELECT, INSERT, DELETE', 'rollup_pipelines'),
            ('SELECT, INSERT', 'rollup_series'),
            ('SELECT, INSERT, DELETE', 'rollup_details'),
            ('SELECT, INSERT, UPDATE, DELETE', 'rollup_invalidations'),
            ('SELECT', 'result_retention'),
            ('SELECT', 'schema_migrations'),
            ('SELECT', 'orchboard_migrations')
        ) AS n (privileges, name)
        CROSS JOIN LATERAL unnest(string_to_array(n.privileges, ', ')) AS p (privilege)
        WHERE NOT has_table_privilege(to_regclass(n.name), p.privilege)
        UNION ALL
        SELECT 'USAGE ON SEQUENCE ' || name
        FROM (VALUES ('events_id_seq'), ('regions_id_seq'), ('rollup_revisions')) AS n (name)
        WHERE NOT has_sequence_privilege(to_regclass(n.name), 'USAGE')
        UNION ALL
        SELECT p.privilege || ' ON SEQUENCE rollup_watermark'
        FROM (VALUES ('SELECT'), ('UPDATE')) AS p (privilege)
        WHERE NOT has_sequence_privilege(to_regclass('rollup_watermark'), p.privilege)
        UNION ALL
        -- An identity column needs no privilege, but Citus calls nextval() for it in an INSERT that selects distributed results.
        SELECT 'USAGE ON SEQUENCE rollup_round_trips_id_seq'
        WHERE EXISTS (SELECT FROM pg_extension WHERE extname = 'citus')
          AND NOT has_sequence_privilege(to_regclass('rollup_round_trips_id_seq'), 'USAGE')
        UNION ALL
        SELECT 'EXECUTE ON FUNCTION ' || name
        FROM (
            VALUES
            ('payload_number(jsonb, text)'), ('round_trip_bin(double precision)'), ('settle_results()'),
            ('raise_rollup_watermark(timestamptz)'), ('results_kept_since()')
        ) AS n (name)
        WHERE NOT has_function_privilege(to_regprocedure(n.name), 'EXECUTE')
        UNION ALL
        -- A view reads with its owner's privileges.
        SELECT DISTINCT 'SELECT ON ' || t.oid::regclass || ' TO ' || v.relowner::regrole
        FROM pg_class v
        JOIN pg_rewrite r ON r.ev_class = v.oid
        JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid AND d.refclassid = 'pg_class'::regclass
        JOIN pg_class t ON t.oid = d.refobjid AND t.oid <> v.oid
        WHERE v.oid IN (to_regclass('results'), to_regclass('event_details'), to_regclass('scored_results'),
                        to_regclass('result_details'))
          AND NOT has_table_privilege(v.relowner, t.oid, 'SELECT')
        ORDER BY lacked
    ) AS missing;
