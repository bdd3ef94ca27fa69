-- Distributes the results by orchestrator. The copies on this server stay, hidden, until `truncate_local_results`. Needs Citus.
-- $1 number of shards
-- Returns nothing of use.
SELECT create_distributed_table('events', 'orchestrator', shard_count := $1::integer);
