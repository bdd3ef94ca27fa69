-- The time before which results are not kept; -infinity if all are. Part of statements that read results: a function such as
-- `results_kept_since`, which reads a table, can't run on every node of a cluster.
SELECT coalesce(max(kept_since), '-infinity') FROM result_retention
