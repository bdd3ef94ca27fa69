-- Deletes invalidations on the workers that are noted on the coordinator now. Needs Citus.
-- $1 JSON object: ids, by the number of the node
-- Returns success, result, a row for each worker.
SELECT success, result
FROM run_command_on_workers(format(
    $command$
    DELETE FROM %1$I.rollup_invalidations
    WHERE id IN (
        SELECT json_array_elements_text(ids)::bigint
        FROM json_each(%2$L::json) AS n (node, ids)
        WHERE node = (
            SELECT nodeid::text FROM pg_dist_node
            WHERE noderole = 'primary' AND groupid = (SELECT groupid FROM pg_dist_local_group)
        )
    )
    $command$,
    current_schema(), $1::text
));
