-- As `orchestrators`, for distributed results: reads an index of every shard.
SELECT DISTINCT orchestrator FROM events;
