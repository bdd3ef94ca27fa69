-- Starts the rollups of a granularity unless they were started.
-- $1 granularity, $2 time from which they grow in both directions
INSERT INTO rollup_progress (granularity, materialized_since, materialized_until) VALUES ($1, $2, $2) ON CONFLICT DO NOTHING;
