-- Whether old results wait to be moved.
SELECT to_regclass('events_before') IS NOT NULL;
