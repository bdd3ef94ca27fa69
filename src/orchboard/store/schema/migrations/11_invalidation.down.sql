-- Takes back 11. Nothing is lost: rollups that were invalid are found by `orchboard rollups verify`.

-- What was noted and not applied yet is applied: afterwards nobody would.
UPDATE spans s
SET is_sealed = FALSE, revision = DEFAULT
FROM rollup_invalidations i
WHERE NOT i.is_applied AND s.is_sealed AND s.span_start <= i.until AND s.span_end > i.since;

DROP TRIGGER IF EXISTS note_changed_job_type ON job_types;
DROP TRIGGER IF EXISTS note_changed_region ON regions;
DROP TRIGGER IF EXISTS note_renamed_region ON regions;
DO $$
DECLARE
    watched record;
BEGIN
    FOR watched IN
        SELECT tgname, tgrelid::regclass AS relation
        FROM pg_trigger
        WHERE NOT tgisinternal AND tgfoid IN ('note_late_result()'::regprocedure, 'note_changed_results()'::regprocedure)
    LOOP
        EXECUTE format('DROP TRIGGER %I ON %s', watched.tgname, watched.relation);
    END LOOP;
END $$;
DROP FUNCTION raise_rollup_watermark(timestamptz);
DROP FUNCTION note_late_result();
DROP FUNCTION note_changed_results();
DROP FUNCTION note_changed_region();
DROP TABLE rollup_invalidations;
-- squawk-ignore ban-drop-sequence
DROP SEQUENCE rollup_watermark;
