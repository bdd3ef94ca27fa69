-- A round trip that touches the schema: one row, true when what results are stored in and read with is there.
SELECT
    to_regclass('results') IS NOT NULL
    AND to_regclass('idempotency_keys') IS NOT NULL
    AND to_regclass('pipelines_seen') IS NOT NULL AS ready;
