-- Returns true while the table of the reference server's results exists.
SELECT to_regclass('events_before') IS NOT NULL;
