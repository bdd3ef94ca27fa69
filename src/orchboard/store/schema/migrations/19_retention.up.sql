-- 19: retention of results; docs/decisions/0023-retention.md.
--
-- Changes the catalogue only.

-- Results received before `kept_since` were deleted on purpose, and their rollups are all that is left of them. No row: all
-- results are kept. `six_hours_since`: rollups of six hours are kept from here on, before only those of days and months.
CREATE TABLE result_retention (
    is_only_row     boolean PRIMARY KEY DEFAULT TRUE CHECK (is_only_row),
    kept_since      timestamptz NOT NULL,
    six_hours_since timestamptz NOT NULL DEFAULT '-infinity'
);

-- Every role that reads or builds rollups needs it.
GRANT SELECT ON result_retention TO PUBLIC;

-- The time before which rollups are final; -infinity if all results are kept.
CREATE FUNCTION results_kept_since() RETURNS timestamptz
LANGUAGE sql STABLE RETURN coalesce((SELECT kept_since FROM result_retention), '-infinity');

-- A rollup whose results were deleted can't be built again. Whoever invalidates one (a server of an older release, which does not
-- know of retention, counts its results and finds none) changes nothing.
CREATE FUNCTION keep_final_bucket() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    kept_since timestamptz;
BEGIN
    EXECUTE format('SELECT kept_since FROM %I.result_retention', TG_TABLE_SCHEMA) INTO kept_since;
    RETURN CASE WHEN OLD.bucket_end <= kept_since THEN NULL ELSE NEW END;
END $$;
CREATE TRIGGER keep_final_bucket BEFORE UPDATE OF is_materialized, revision, results ON rollup_buckets
FOR EACH ROW WHEN (OLD.is_materialized) EXECUTE FUNCTION keep_final_bucket();
ALTER TABLE rollup_buckets ENABLE ALWAYS TRIGGER keep_final_bucket;
