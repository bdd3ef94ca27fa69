-- Deletes on every worker what `set_up_nodes` created. Can be repeated. Needs Citus.
-- Returns name, port, success, result, a row for each worker.
SELECT nodename AS name, nodeport AS port, success, result
FROM run_command_on_workers(format(
    $command$
    DO $node$
    BEGIN
        PERFORM set_config('citus.enable_ddl_propagation', 'off', TRUE);
        DROP TABLE IF EXISTS %1$I.rollup_invalidations;
        DROP SEQUENCE IF EXISTS %1$I.rollup_watermark;
    END $node$
    $command$,
    current_schema()
));
