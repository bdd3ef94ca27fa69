-- How many results COPY has written so far, on all nodes. Needs Citus.
-- Returns one row (number).
SELECT coalesce(sum(result::bigint) FILTER (WHERE success), 0)::bigint AS number
FROM run_command_on_all_nodes('SELECT coalesce(sum(tuples_processed), 0) FROM pg_stat_progress_copy');
