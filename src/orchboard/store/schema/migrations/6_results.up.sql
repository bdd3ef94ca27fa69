-- 6: results with what scores are made of in columns of their own, right whoever writes; an id that
-- does not end; a primary key that other kinds of Postgres can spread over machines.
--
-- Takes milliseconds, however many results there are: the table as it was is set aside as
-- `events_before`, and a new `events` takes what comes from now on, from the reference server too.
-- `results` shows both. The server then moves the old rows over in batches (store/legacy_import/table_mover.py), and
-- `settle_results` ends that: without old rows it drops the table that held them.
--
-- What has a name keeps it: the reference server's statements find `events` and `event_details` as before.
-- squawk-ignore-file renaming-table, renaming-object, ban-drop-default, ban-drop-view, prefer-bigint-over-int, require-concurrent-index-deletion

-- First everything at once, in the order in which a reader takes it: else one could hold the view and wait for us.
LOCK TABLE event_details IN ACCESS EXCLUSIVE MODE;
ALTER TABLE events RENAME TO events_before;
-- It only gets emptier until it is dropped; whoever empties it cleans it up, and has fewer indexes to clean.
ALTER TABLE events_before SET (autovacuum_enabled = false, toast.autovacuum_enabled = false);
ALTER TABLE events_before RENAME CONSTRAINT events_pkey TO events_before_pkey;
ALTER TABLE events_before RENAME CONSTRAINT events_region_id_fkey TO events_before_region_id_fkey;
ALTER INDEX idx_events_orchestrator RENAME TO idx_events_before_orchestrator;
ALTER INDEX idx_events_timestamp RENAME TO idx_events_before_timestamp;
DROP INDEX idx_events_region_id, idx_events_payload_pipeline, idx_events_payload_model;
ALTER INDEX idx_events_orchestrator_event_time RENAME TO idx_events_before_orchestrator_event_time;
ALTER TABLE events_before ALTER COLUMN id DROP DEFAULT;
ALTER SEQUENCE events_id_seq AS bigint;

CREATE TABLE events (
    id              bigint NOT NULL DEFAULT nextval('events_id_seq'),
    event_time      timestamptz NOT NULL DEFAULT current_timestamp,
    orchestrator    varchar(56) NOT NULL,
    region_id       integer REFERENCES regions (id),
    payload         jsonb NOT NULL,
    -- 256 characters are what a POST may have; an index entry has room for no more than 2,700 bytes.
    pipeline        text NOT NULL GENERATED ALWAYS AS (left(coalesce(payload ->> 'pipeline', ''), 256)) STORED,
    model           text NOT NULL GENERATED ALWAYS AS (left(coalesce(payload ->> 'model', ''), 256)) STORED,
    success_rate    double precision NOT NULL GENERATED ALWAYS AS (payload_number(payload, 'success_rate')) STORED,
    seg_duration    double precision NOT NULL GENERATED ALWAYS AS (payload_number(payload, 'seg_duration')) STORED,
    round_trip_time double precision NOT NULL GENERATED ALWAYS AS (payload_number(payload, 'round_trip_time')) STORED,
    -- False for a result that is no verdict on the orchestrator, as its tester says.
    is_scored       boolean NOT NULL
                    GENERATED ALWAYS AS ((payload ->> 'test_outcome' LIKE 'unscored%') IS NOT TRUE) STORED,
    CONSTRAINT events_pkey PRIMARY KEY (orchestrator, event_time, id)
);

-- Every aggregate is an index-only scan of this.
CREATE INDEX idx_events_event_time ON events (event_time)
INCLUDE (region_id, orchestrator, pipeline, model, success_rate, seg_duration, round_trip_time, is_scored);
-- Ours are lower case; those of others may not be. Nearly empty.
CREATE INDEX idx_events_mixed_case ON events (lower(orchestrator), event_time)
WHERE orchestrator <> lower(orchestrator);

-- Every result, wherever it is at the moment. `orchestrator` is as it was written.
CREATE VIEW results AS
SELECT id, event_time, orchestrator, region_id, payload,
       pipeline, model, success_rate, seg_duration, round_trip_time, is_scored
FROM events
UNION ALL
SELECT id::bigint, event_time, orchestrator, region_id, payload,
       left(coalesce(payload ->> 'pipeline', ''), 256),
       left(coalesce(payload ->> 'model', ''), 256),
       payload_number(payload, 'success_rate'),
       payload_number(payload, 'seg_duration'),
       payload_number(payload, 'round_trip_time'),
       (payload ->> 'test_outcome' LIKE 'unscored%') IS NOT TRUE
FROM events_before;

-- The reference server's view, over both.
ALTER VIEW event_details RENAME TO event_details_before;
CREATE VIEW event_details AS
SELECT
    regions.name AS region_name,
    job_types.name AS job_type_name,
    results.id,
    results.event_time,
    CAST(results.payload ->> 'success_rate' AS double precision) AS success_rate,
    CAST(results.payload ->> 'seg_duration' AS double precision) AS seg_duration,
    CAST(results.payload ->> 'round_trip_time' AS double precision) AS round_trip_time,
    results.orchestrator,
    results.payload
FROM results
INNER JOIN regions ON results.region_id = regions.id
INNER JOIN job_types ON regions.job_type_id = job_types.id;

-- Whoever owns what was there, and may use it, owns and may use what is there now.
DO $$
DECLARE
    pair record;
    granted record;
BEGIN
    FOR pair IN SELECT * FROM (VALUES
        ('events_before', 'events'), ('event_details_before', 'results'), ('event_details_before', 'event_details')
    ) AS renamed (before, after)
    LOOP
        EXECUTE format(
            'ALTER TABLE %I OWNER TO %s', pair.after,
            (SELECT relowner::regrole FROM pg_class WHERE oid = pair.before::regclass)
        );
    END LOOP;
    FOR granted IN
        SELECT renamed.after, acl.privilege_type, acl.is_grantable,
               CASE acl.grantee WHEN 0 THEN 'PUBLIC' ELSE acl.grantee::regrole::text END AS grantee
        FROM (VALUES ('events_before', 'events'), ('event_details_before', 'event_details')) AS renamed (before, after)
        INNER JOIN pg_class ON oid = renamed.before::regclass,
        aclexplode(relacl) acl
        WHERE acl.grantee <> relowner
    LOOP
        EXECUTE format(
            'GRANT %s ON %I TO %s%s', granted.privilege_type, granted.after, granted.grantee,
            CASE WHEN granted.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END
        );
    END LOOP;
END $$;
ALTER SEQUENCE events_id_seq OWNED BY events.id;
DROP VIEW event_details_before;

-- Ends the move when no old row is left: true from then on. Looks while everybody reads and writes but the movers;
-- then takes every lock for an instant, in the order in which a reader takes them.
CREATE FUNCTION settle_results() RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    IF to_regclass('events_before') IS NULL THEN
        RETURN true;
    END IF;
    LOCK TABLE events_before IN SHARE ROW EXCLUSIVE MODE;
    IF EXISTS (SELECT FROM events_before) THEN
        RETURN false;
    END IF;
    LOCK TABLE results IN ACCESS EXCLUSIVE MODE;
    CREATE OR REPLACE VIEW results AS
    SELECT id, event_time, orchestrator, region_id, payload,
           pipeline, model, success_rate, seg_duration, round_trip_time, is_scored
    FROM events;
    DROP TABLE events_before;
    RETURN true;
END $$;
SELECT settle_results();
