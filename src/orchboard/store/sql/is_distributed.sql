-- Whether `events` is distributed over the nodes of a Citus cluster, or a reference table of one. Citus puts this trigger on such a
-- table, and a catalogue of PostgreSQL can be read without its extension.
-- Returns one row (boolean).
SELECT EXISTS (
    SELECT FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
    WHERE t.tgrelid = to_regclass('events') AND p.proname = 'citus_truncate_trigger'
);
