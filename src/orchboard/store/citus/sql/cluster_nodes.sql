-- The nodes of the cluster. Needs Citus.
-- Returns name, port, group_id (0: the coordinator), is_active, has_shards (may have any), is_here (this connection's server).
SELECT
    nodename AS name, nodeport AS port, groupid AS group_id, isactive AS is_active, shouldhaveshards AS has_shards,
    groupid = (SELECT groupid FROM pg_dist_local_group) AS is_here
FROM pg_dist_node
WHERE noderole = 'primary'
ORDER BY groupid;
