-- The workers of a cluster, and what keeps them from working for a board. Needs Citus.
-- Returns, for each: name, port, shards (number of those of the results on it), problem (why it is of no use, or null).
SELECT
    n.nodename AS name, n.nodeport AS port, coalesce(s.shards, 0) AS shards,
    CASE
        WHEN NOT n.isactive THEN 'is not active'
        WHEN r.success IS NOT TRUE THEN 'does not answer'
        WHEN r.result = 'f' THEN 'is not set up'
    END AS problem
FROM pg_dist_node n
LEFT JOIN (
    SELECT p.groupid, count(*) AS shards
    FROM pg_dist_placement p JOIN pg_dist_shard h ON h.shardid = p.shardid
    WHERE h.logicalrelid = 'events'::regclass
    GROUP BY p.groupid
) s ON s.groupid = n.groupid
LEFT JOIN run_command_on_workers(format(
    'SELECT to_regclass(%L) IS NOT NULL', quote_ident(current_schema()) || '.rollup_invalidations'
)) r ON r.nodename = n.nodename AND r.nodeport = n.nodeport
WHERE n.groupid <> 0 AND n.noderole = 'primary'
ORDER BY n.groupid;
