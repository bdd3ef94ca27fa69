-- Settings of the nodes that answer. Needs Citus.
-- Returns, for each: name, port, max_prepared_transactions, max_connections.
SELECT
    n.nodename AS name, n.nodeport AS port,
    (string_to_array(r.result, ' '))[1]::integer AS max_prepared_transactions,
    (string_to_array(r.result, ' '))[2]::integer AS max_connections
FROM run_command_on_all_nodes(
    $$SELECT current_setting('max_prepared_transactions') || ' ' || current_setting('max_connections')$$
) r
JOIN pg_dist_node n USING (nodeid)
WHERE r.success AND n.noderole = 'primary'
ORDER BY n.groupid;
