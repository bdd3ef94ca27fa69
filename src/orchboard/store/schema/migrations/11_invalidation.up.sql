-- 11: every change to stored results invalidates the rollups that it touches, whoever makes it;
-- docs/decisions/0013-invalidation.md. CREATE TRIGGER blocks writers for an instant, readers not at all.

-- The watermark: rollups cover receipt times before this moment, in Unix seconds. A sequence, because every transaction
-- sees its newest value, whatever snapshot it reads with. Null in a database without rollups.
CREATE SEQUENCE rollup_watermark;
-- Whoever inserts a result compares with it.
GRANT SELECT ON SEQUENCE rollup_watermark TO PUBLIC;

-- Raises it; never lowers it.
CREATE FUNCTION raise_rollup_watermark(moment timestamptz) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(6026100823512275);
    PERFORM setval('rollup_watermark', greatest(last_value, floor(extract(EPOCH FROM moment))::bigint)) FROM rollup_watermark;
END $$;

-- Ranges of receipt time, both ends included, in which results were inserted late, updated or deleted; written in the
-- transaction that does so. Without a range: a region or a job type was changed.
-- `xid`: that transaction; tells a reader whether it was visible in an earlier snapshot.
-- `is_applied`: the rollups are marked as invalid; the row stays a while for readers that hold results in memory.
CREATE TABLE rollup_invalidations (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    xid        xid8 NOT NULL DEFAULT pg_current_xact_id(),
    noted_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    since      timestamptz,
    until      timestamptz,
    is_applied boolean NOT NULL DEFAULT FALSE
);
CREATE INDEX idx_rollup_invalidations_pending ON rollup_invalidations (id) WHERE NOT is_applied;

-- The functions below write with the rights of their owner, as whoever changes results need not know this table. They find
-- it beside the table that was changed, also when the schema gets another name.

-- Notes a result that is inserted late; once a minute of receipt time and transaction, as a bulk load may be large.
CREATE FUNCTION note_late_result() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    minute constant text := floor(extract(EPOCH FROM NEW.event_time) / 60);
BEGIN
    IF isfinite(NEW.event_time) AND current_setting('orchboard.noted_minute', TRUE) IS DISTINCT FROM minute THEN
        EXECUTE format(
            'INSERT INTO %I.rollup_invalidations (since, until) '
            'SELECT m, m + interval ''59.999999 seconds'' FROM to_timestamp($1 * 60) m', TG_TABLE_SCHEMA
        ) USING minute::double precision;
        PERFORM set_config('orchboard.noted_minute', minute, TRUE);
    END IF;
    RETURN NULL;
END $$;

-- Notes what an UPDATE, DELETE or TRUNCATE changes, by the hour.
CREATE FUNCTION note_changed_results() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    changed constant text := CASE TG_OP
        WHEN 'TRUNCATE' THEN 'VALUES (timestamptz ''0001-01-02 00:00+00''), (timestamptz ''9999-12-30 00:00+00'')'
        WHEN 'DELETE' THEN 'SELECT event_time FROM old_rows'
        ELSE 'SELECT event_time FROM old_rows UNION ALL SELECT event_time FROM new_rows'
    END;
    hour constant text := CASE TG_OP WHEN 'TRUNCATE' THEN '0' ELSE 'floor(extract(EPOCH FROM event_time) / 3600)' END;
BEGIN
    EXECUTE format(
        'INSERT INTO %I.rollup_invalidations (since, until) SELECT min(event_time), max(event_time) '
        'FROM (%s) c (event_time) WHERE isfinite(event_time) GROUP BY %s + 0', TG_TABLE_SCHEMA, changed, hour
    );
    RETURN NULL;
END $$;

-- Notes that what a region's id stands for has changed. With another job type, its results count elsewhere.
CREATE FUNCTION note_changed_region() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    EXECUTE format('INSERT INTO %I.rollup_invalidations (since, until) VALUES (NULL, NULL)', TG_TABLE_SCHEMA);
    IF TG_ARGV[0] = 'counts_elsewhere' THEN
        EXECUTE format(
            'INSERT INTO %I.rollup_invalidations (since, until) VALUES (''0001-01-02 00:00+00'', ''9999-12-30 00:00+00'')',
            TG_TABLE_SCHEMA
        );
    END IF;
    RETURN NULL;
END $$;

-- The triggers of a table that results are in. Moving results from the old table into the new one changes no answer:
-- who does so sets `orchboard.is_moving`.
-- Late: received over a second ago, or before the watermark. The condition is evaluated without a call of a function in
-- PL/pgSQL; a trigger for each statement would have to collect every row that it inserts.
-- ALWAYS: also on a subscriber of logical replication, and for a restore with session_replication_role = replica.
CREATE FUNCTION watch_results(watched regclass) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    unless_moving constant text := $w$(current_setting('orchboard.is_moving', TRUE) IS DISTINCT FROM 'on')$w$;
BEGIN
    EXECUTE format($t$
        CREATE TRIGGER note_late_result AFTER INSERT ON %s FOR EACH ROW
        WHEN (
            (NEW.event_time < clock_timestamp() - interval '1 second'
            OR NEW.event_time < to_timestamp(pg_sequence_last_value('rollup_watermark'::regclass)))
            AND current_setting('orchboard.is_moving', TRUE) IS DISTINCT FROM 'on'
        )
        EXECUTE FUNCTION note_late_result()
    $t$, watched);
    EXECUTE format($t$
        CREATE TRIGGER note_updated_results AFTER UPDATE ON %s
        REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
        FOR EACH STATEMENT WHEN %s EXECUTE FUNCTION note_changed_results()
    $t$, watched, unless_moving);
    EXECUTE format($t$
        CREATE TRIGGER note_deleted_results AFTER DELETE ON %s REFERENCING OLD TABLE AS old_rows
        FOR EACH STATEMENT WHEN %s EXECUTE FUNCTION note_changed_results()
    $t$, watched, unless_moving);
    EXECUTE format($t$
        CREATE TRIGGER note_truncated_results AFTER TRUNCATE ON %s
        FOR EACH STATEMENT EXECUTE FUNCTION note_changed_results()
    $t$, watched);
    EXECUTE format($t$
        ALTER TABLE %s
        ENABLE ALWAYS TRIGGER note_late_result, ENABLE ALWAYS TRIGGER note_updated_results,
        ENABLE ALWAYS TRIGGER note_deleted_results, ENABLE ALWAYS TRIGGER note_truncated_results
    $t$, watched);
END $$;
SELECT watch_results('events');
SELECT watch_results(to_regclass('events_before')) WHERE to_regclass('events_before') IS NOT NULL;
DROP FUNCTION watch_results(regclass);

-- No transaction that stored a result is still running: the triggers waited for them. What is summed up is whole.
SELECT raise_rollup_watermark(max(sealed_until)) FROM sealing HAVING max(sealed_until) IS NOT NULL;

CREATE TRIGGER note_renamed_region AFTER DELETE OR UPDATE OF name ON regions
FOR EACH STATEMENT EXECUTE FUNCTION note_changed_region();
CREATE TRIGGER note_changed_region AFTER UPDATE OF id, job_type_id ON regions
FOR EACH STATEMENT EXECUTE FUNCTION note_changed_region('counts_elsewhere');
CREATE TRIGGER note_changed_job_type AFTER DELETE OR UPDATE ON job_types
FOR EACH STATEMENT EXECUTE FUNCTION note_changed_region('counts_elsewhere');
ALTER TABLE regions ENABLE ALWAYS TRIGGER note_renamed_region, ENABLE ALWAYS TRIGGER note_changed_region;
ALTER TABLE job_types ENABLE ALWAYS TRIGGER note_changed_job_type;
