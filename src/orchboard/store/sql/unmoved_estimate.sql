-- About how many old results wait to be moved, without counting them.
SELECT coalesce((SELECT greatest(reltuples, 0)::bigint FROM pg_class WHERE oid = to_regclass('events_before')), 0);
