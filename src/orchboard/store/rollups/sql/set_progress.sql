-- Stores the progress of a granularity.
-- $1 granularity, $2 since, $3 until
UPDATE rollup_progress SET materialized_since = $2, materialized_until = $3 WHERE granularity = $1;
