-- Creates on every worker what the triggers of `events` need there (migration 11): the watermark and the table of invalidations.
-- Each node has its own, with the owner and the privileges of the one here. Can be repeated. Needs Citus.
-- Returns name, port, success, result, a row for each worker.
SELECT nodename AS name, nodeport AS port, success, result
FROM run_command_on_workers(format(
    $command$
    DO $node$
    BEGIN
        PERFORM set_config('citus.enable_ddl_propagation', 'off', TRUE);
        CREATE SCHEMA IF NOT EXISTS %1$I;
        CREATE SEQUENCE IF NOT EXISTS %1$I.rollup_watermark;
        GRANT SELECT ON SEQUENCE %1$I.rollup_watermark TO PUBLIC;
        IF %2$s > coalesce(pg_sequence_last_value('%1$I.rollup_watermark'), 0) THEN
            PERFORM setval('%1$I.rollup_watermark', %2$s);
        END IF;
        CREATE TABLE IF NOT EXISTS %1$I.rollup_invalidations (
            id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            xid        xid8 NOT NULL DEFAULT pg_current_xact_id(),
            noted_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
            since      timestamptz,
            until      timestamptz,
            is_applied boolean NOT NULL DEFAULT FALSE
        );
        ALTER SEQUENCE %1$I.rollup_watermark OWNER TO %3$I;
        ALTER TABLE %1$I.rollup_invalidations OWNER TO %3$I;
        %4$s
    END $node$
    $command$,
    current_schema(), coalesce(pg_sequence_last_value('rollup_watermark'), 0),
    (SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = 'rollup_invalidations'::regclass),
    (
        SELECT string_agg(
            format(
                'GRANT %s ON %s %I.%I TO %s%s;',
                acl.privilege_type, CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, current_schema(), c.relname,
                CASE acl.grantee WHEN 0 THEN 'PUBLIC' ELSE acl.grantee::regrole::text END,
                CASE WHEN acl.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END
            ),
            ' '
        )
        FROM pg_class c, aclexplode(c.relacl) acl
        WHERE c.oid IN ('rollup_invalidations'::regclass, 'rollup_watermark'::regclass) AND acl.grantee <> c.relowner
    )
));
