-- A round trip that touches the schema: one row, true when the results' table is there.
SELECT to_regclass('events') IS NOT NULL AS ready;
