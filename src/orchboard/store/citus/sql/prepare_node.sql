-- Creates on a node that is not active, or not of the cluster yet, what it needs before Citus can create the tables of the board there:
-- a trigger of `events` names the watermark. Can be repeated. Needs Citus.
-- $1 its name $2 its port
-- Returns name, port, success, result, one row.
SELECT node_name AS name, node_port AS port, success, result
FROM master_run_on_worker(
    ARRAY[$1::text], ARRAY[$2::integer],
    ARRAY[format(
        $command$
        DO $node$
        BEGIN
            PERFORM set_config('citus.enable_ddl_propagation', 'off', TRUE);
            CREATE SCHEMA IF NOT EXISTS %1$I;
            CREATE SEQUENCE IF NOT EXISTS %1$I.rollup_watermark;
        END $node$
        $command$,
        current_schema()
    )],
    FALSE
);
