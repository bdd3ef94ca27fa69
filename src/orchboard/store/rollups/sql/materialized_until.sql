-- The end of the range in which rollups were built. Returns one row (materialized_until), null without any.
SELECT max(materialized_until) AS materialized_until FROM rollup_progress;
