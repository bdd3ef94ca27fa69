-- 6: results with what scores are made of in columns of their own, right whoever writes; an id that
-- does not end; a primary key that other kinds of Postgres can spread over machines.
--
-- Takes milliseconds, however many results there are: the table as it was is set aside as
-- `events_before`, and a new `events` takes what comes from now on, from the reference server too.
-- `results` shows both. The server then moves the old rows over in batches (store/moving.py), and
-- `settle_results` ends that: without old rows it drops the table that held them.
--
-- What has a name keeps it: the reference server's statements find `events` and `event_details` as before.
-- squawk-ignore-file renaming-table, renaming-object, ban-drop-default, ban-drop-view, prefer-bigint-over-int

ALTER TABLE events RENAME TO events_before;
ALTER TABLE events_before RENAME CONSTRAINT events_pkey TO events_before_pkey;
ALTER TABLE events_before RENAME CONSTRAINT events_region_id_fkey TO events_before_region_id_fkey;
ALTER INDEX idx_events_region_id RENAME TO idx_events_before_region_id;
ALTER INDEX idx_events_orchestrator RENAME TO idx_events_before_orchestrator;
ALTER INDEX idx_events_timestamp RENAME TO idx_events_before_timestamp;
ALTER INDEX idx_events_payload_pipeline RENAME TO idx_events_before_payload_pipeline;
ALTER INDEX idx_events_payload_model RENAME TO idx_events_before_payload_model;
ALTER INDEX idx_events_orchestrator_event_time RENAME TO idx_events_before_orchestrator_event_time;
ALTER TABLE events_before ALTER COLUMN id DROP DEFAULT;
ALTER SEQUENCE events_id_seq AS bigint;

-- Which members of the contract a payload lacks: a bit each, 0 for `success_rate` to 14 for `response_payload`
-- (stored.py has the same order). -1 when anything in it is not as a tester should send it: then it is read with
-- care, otherwise its text goes out as it is, with what it lacks added. Comparing JSON with numbers tests the type too.
CREATE FUNCTION payload_lacks(payload jsonb) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN (
        jsonb_typeof(payload -> 'region') = 'string'
        AND jsonb_typeof(payload -> 'orchestrator') = 'string'
        AND payload ->> 'orchestrator' = lower(payload ->> 'orchestrator')
        AND coalesce(payload -> 'errors' = '[]' OR (
            jsonb_typeof(payload -> 'errors') = 'array'
            AND payload ->> 'errors' !~ '"count": -?[0-9]+[.]'
            AND jsonb_array_length(payload -> 'errors') = jsonb_array_length(jsonb_path_query_array(
                payload, 'strict $.errors[*] ? (
                    @.type() == "object" && @.error_code.type() == "string" && @.count.type() == "number"
                    && @.count >= -9223372036854775807 && @.count <= 9223372036854775807
                    && !(exists (@.keyvalue() ? (
                        @.key != "error_code" && @.key != "count"
                        && (@.key != "message" || @.value.type() != "string" || @.value == "")
                    )))
                )', '{}', true
            ))
        ), true)
        AND coalesce(payload -> 'success_rate' BETWEEN '-1e300' AND '1e300', true)
        AND coalesce(payload -> 'round_trip_time' BETWEEN '-1e300' AND '1e300', true)
        AND coalesce(payload -> 'timestamp' BETWEEN '-9223372036854775807' AND '9223372036854775807' AND payload ->> 'timestamp' NOT LIKE '%.%', true)
        AND coalesce(payload -> 'seg_duration' BETWEEN '-1e300' AND '1e300', true)
        AND coalesce(payload -> 'segments_sent' BETWEEN '-9223372036854775807' AND '9223372036854775807' AND payload ->> 'segments_sent' NOT LIKE '%.%', true)
        AND coalesce(payload -> 'segments_received' BETWEEN '-9223372036854775807' AND '9223372036854775807' AND payload ->> 'segments_received' NOT LIKE '%.%', true)
        AND coalesce(payload -> 'upload_time' BETWEEN '-1e300' AND '1e300', true)
        AND coalesce(payload -> 'download_time' BETWEEN '-1e300' AND '1e300', true)
        AND coalesce(payload -> 'transcode_time' BETWEEN '-1e300' AND '1e300', true)
        AND coalesce(jsonb_typeof(payload -> 'model') = 'string', true)
        AND coalesce(jsonb_typeof(payload -> 'model_is_warm') = 'boolean', true)
        AND coalesce(jsonb_typeof(payload -> 'pipeline') = 'string', true)
        AND coalesce(jsonb_typeof(payload -> 'input_parameters') = 'string', true)
        AND coalesce(jsonb_typeof(payload -> 'response_payload') = 'string', true)
    ) IS TRUE
        THEN CASE WHEN payload ? 'success_rate' THEN 0 ELSE 1 END
        + CASE WHEN payload ? 'round_trip_time' THEN 0 ELSE 2 END
        + CASE WHEN payload ? 'errors' THEN 0 ELSE 4 END
        + CASE WHEN payload ? 'timestamp' THEN 0 ELSE 8 END
        + CASE WHEN payload ? 'seg_duration' THEN 0 ELSE 16 END
        + CASE WHEN payload ? 'segments_sent' THEN 0 ELSE 32 END
        + CASE WHEN payload ? 'segments_received' THEN 0 ELSE 64 END
        + CASE WHEN payload ? 'upload_time' THEN 0 ELSE 128 END
        + CASE WHEN payload ? 'download_time' THEN 0 ELSE 256 END
        + CASE WHEN payload ? 'transcode_time' THEN 0 ELSE 512 END
        + CASE WHEN payload ? 'model' THEN 0 ELSE 1024 END
        + CASE WHEN payload ? 'model_is_warm' THEN 0 ELSE 2048 END
        + CASE WHEN payload ? 'pipeline' THEN 0 ELSE 4096 END
        + CASE WHEN payload ? 'input_parameters' THEN 0 ELSE 8192 END
        + CASE WHEN payload ? 'response_payload' THEN 0 ELSE 16384 END
    ELSE -1
END;

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
    lacks           integer NOT NULL GENERATED ALWAYS AS (payload_lacks(payload)) STORED,
    CONSTRAINT events_pkey PRIMARY KEY (orchestrator, event_time, id)
);
ALTER SEQUENCE events_id_seq OWNED BY events.id;

-- Every aggregate is an index-only scan of this.
CREATE INDEX idx_events_event_time ON events (event_time)
INCLUDE (region_id, orchestrator, pipeline, model, success_rate, seg_duration, round_trip_time, is_scored);
-- Ours are lower case; those of others may not be. Nearly empty.
CREATE INDEX idx_events_mixed_case ON events (lower(orchestrator), event_time)
WHERE orchestrator <> lower(orchestrator);

DO $$
DECLARE
    granted record;
BEGIN
    FOR granted IN
        SELECT acl.privilege_type, CASE acl.grantee WHEN 0 THEN 'PUBLIC' ELSE acl.grantee::regrole::text END AS grantee
        FROM pg_class, aclexplode(relacl) acl
        WHERE oid = 'events_before'::regclass AND acl.grantee <> relowner
    LOOP
        EXECUTE format('GRANT %s ON events TO %s', granted.privilege_type, granted.grantee);
    END LOOP;
END $$;

-- Every result, wherever it is at the moment. `orchestrator` is as it was written.
CREATE VIEW results AS
SELECT id, event_time, orchestrator, region_id, payload,
       pipeline, model, success_rate, seg_duration, round_trip_time, is_scored, lacks
FROM events
UNION ALL
SELECT id::bigint, event_time, orchestrator, region_id, payload,
       left(coalesce(payload ->> 'pipeline', ''), 256),
       left(coalesce(payload ->> 'model', ''), 256),
       payload_number(payload, 'success_rate'),
       payload_number(payload, 'seg_duration'),
       payload_number(payload, 'round_trip_time'),
       (payload ->> 'test_outcome' LIKE 'unscored%') IS NOT TRUE,
       payload_lacks(payload)
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
DO $$
DECLARE
    granted record;
BEGIN
    FOR granted IN
        SELECT acl.privilege_type, CASE acl.grantee WHEN 0 THEN 'PUBLIC' ELSE acl.grantee::regrole::text END AS grantee
        FROM pg_class, aclexplode(relacl) acl
        WHERE oid = 'event_details_before'::regclass AND acl.grantee <> relowner
    LOOP
        EXECUTE format('GRANT %s ON event_details TO %s', granted.privilege_type, granted.grantee);
    END LOOP;
END $$;
DROP VIEW event_details_before;

-- Ends the move when no old row is left: true from then on. Takes every lock for an instant, in the
-- order in which a reader takes them.
CREATE FUNCTION settle_results() RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    IF to_regclass('events_before') IS NULL THEN
        RETURN true;
    END IF;
    LOCK TABLE results IN ACCESS EXCLUSIVE MODE;
    IF EXISTS (SELECT FROM events_before) THEN
        RETURN false;
    END IF;
    CREATE OR REPLACE VIEW results AS
    SELECT id, event_time, orchestrator, region_id, payload,
           pipeline, model, success_rate, seg_duration, round_trip_time, is_scored, lacks
    FROM events;
    DROP TABLE events_before;
    RETURN true;
END $$;
SELECT settle_results();
