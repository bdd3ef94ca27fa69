-- Adds a node to the cluster, or activates it. A node that is active is not changed. Needs Citus.
-- $1 its name $2 its port
-- Returns one row of no use.
SELECT CASE
    WHEN n.nodeid IS NULL THEN citus_add_node($1::text, $2::integer)
    WHEN NOT n.isactive THEN citus_activate_node($1::text, $2::integer)
END
FROM (VALUES (1)) one LEFT JOIN pg_dist_node n ON n.nodename = $1::text AND n.nodeport = $2::integer;
