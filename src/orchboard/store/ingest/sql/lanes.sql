-- The worker that stores the results of each orchestrator. Needs Citus.
-- $1 orchestrators (array)
-- Returns orchestrator, name, port; no row for one whose results are on the coordinator.
SELECT o.orchestrator, n.nodename AS name, n.nodeport AS port
FROM unnest($1::text[]) AS o (orchestrator)
JOIN pg_dist_placement p ON p.shardid = get_shard_id_for_distribution_column('events'::regclass, o.orchestrator::varchar)
JOIN pg_dist_node n ON n.groupid = p.groupid AND n.noderole = 'primary'
WHERE n.groupid <> 0;
