-- squawk-ignore-file renaming-table, renaming-object, ban-drop-default, ban-drop-view, prefer-bigint-over-int, require-concurrent-index-creation, changing-column-type, require-concurrent-index-deletion
-- Takes back 6: every result goes back into the table as it was, in this one transaction.
-- Ids above 2,147,483,647 do not fit there: it then fails and changes nothing.

LOCK TABLE event_details IN ACCESS EXCLUSIVE MODE;
ALTER VIEW event_details RENAME TO event_details_after;
DROP FUNCTION settle_results();
ALTER TABLE events RENAME TO events_after;
ALTER TABLE events_after RENAME CONSTRAINT events_pkey TO events_after_pkey;
ALTER TABLE events_after RENAME CONSTRAINT events_region_id_fkey TO events_after_region_id_fkey;
ALTER TABLE events_after ALTER COLUMN id DROP DEFAULT;
ALTER SEQUENCE events_id_seq OWNED BY NONE;
ALTER SEQUENCE events_id_seq AS integer;

CREATE TABLE IF NOT EXISTS events_before (
    id           integer CONSTRAINT events_id_not_null NOT NULL,
    event_time   timestamptz CONSTRAINT events_event_time_not_null NOT NULL DEFAULT current_timestamp,
    orchestrator varchar(56) CONSTRAINT events_orchestrator_not_null NOT NULL,
    region_id    integer CONSTRAINT events_before_region_id_fkey REFERENCES regions (id),
    payload      jsonb CONSTRAINT events_payload_not_null NOT NULL,
    CONSTRAINT events_before_pkey PRIMARY KEY (id)
);
INSERT INTO events_before (id, event_time, orchestrator, region_id, payload)
SELECT id, event_time, orchestrator, region_id, payload FROM events_after ORDER BY id;
ALTER TABLE events_before RESET (autovacuum_enabled, toast.autovacuum_enabled);
ALTER TABLE events_before RENAME TO events;
ALTER TABLE events ALTER COLUMN id SET DEFAULT nextval('events_id_seq');
ALTER TABLE events RENAME CONSTRAINT events_before_pkey TO events_pkey;
ALTER TABLE events RENAME CONSTRAINT events_before_region_id_fkey TO events_region_id_fkey;
DROP INDEX IF EXISTS idx_events_before_orchestrator, idx_events_before_timestamp;
DROP INDEX IF EXISTS idx_events_before_orchestrator_event_time;
CREATE INDEX idx_events_region_id ON events (region_id);
CREATE INDEX idx_events_orchestrator ON events (orchestrator);
CREATE INDEX idx_events_timestamp ON events (event_time);
CREATE INDEX idx_events_payload_pipeline ON events ((payload ->> 'pipeline'));
CREATE INDEX idx_events_payload_model ON events ((payload ->> 'model'));
CREATE INDEX idx_events_orchestrator_event_time ON events (lower(orchestrator), event_time);

CREATE VIEW event_details AS
SELECT
    regions.name AS region_name,
    job_types.name AS job_type_name,
    events.id,
    events.event_time,
    CAST(events.payload ->> 'success_rate' AS double precision) AS success_rate,
    CAST(events.payload ->> 'seg_duration' AS double precision) AS seg_duration,
    CAST(events.payload ->> 'round_trip_time' AS double precision) AS round_trip_time,
    events.orchestrator,
    events.payload
FROM events
INNER JOIN regions ON events.region_id = regions.id
INNER JOIN job_types ON regions.job_type_id = job_types.id;

-- Whoever owns what was there, and may use it, owns and may use what is there now.
DO $$
DECLARE
    pair record;
    granted record;
BEGIN
    FOR pair IN SELECT * FROM (VALUES
        ('events_after', 'events'), ('event_details_after', 'event_details')
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
        FROM (VALUES ('events_after', 'events'), ('event_details_after', 'event_details')) AS renamed (before, after)
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
DROP VIEW event_details_after;
DROP VIEW results;
DROP TABLE events_after;
