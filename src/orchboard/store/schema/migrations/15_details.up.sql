-- 15: details of results for history and analysis: the tables `rollup_series` and `rollup_details`, and the view
-- `result_details`. docs/decisions/0020-details.md.
--
-- Changes the catalogue only, whatever the size of the tables. The details of existing buckets are built in the background.
-- squawk-ignore-file prefer-bigint-over-int, prefer-bigint-over-smallint -- granularities, regions, series: small numbers

-- What results are grouped by. An integer stands for it in `rollup_details`. Rows are only ever added.
-- `orchestrator`: in lower case; '' for the whole network. `pipeline`, `model`: '' for transcoding. `tester_id`: 0 without one.
CREATE TABLE rollup_series (
    id           integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    orchestrator text NOT NULL,
    region_id    integer NOT NULL,
    pipeline     text NOT NULL,
    model        text NOT NULL,
    tester_id    integer NOT NULL,
    UNIQUE (orchestrator, region_id, pipeline, model, tester_id)
);

-- The details of a bucket for one orchestrator; for the whole network in the row with ''.
-- `entries`: SeriesSums as columns, see store/details/encoding.py. `round_trips`: sorted doubles of each entry in turn, big-endian.
-- `errors`: ErrorSums, and `summary`: quantiles of the network's round trips, both as MessagePack; null without any.
CREATE TABLE rollup_details (
    granularity  smallint NOT NULL,
    bucket_start timestamptz NOT NULL,
    orchestrator text NOT NULL,
    entries      bytea NOT NULL,
    round_trips  bytea NOT NULL,
    errors       bytea,
    summary      bytea,
    PRIMARY KEY (granularity, bucket_start, orchestrator)
);
-- The history of one orchestrator.
CREATE INDEX idx_rollup_details_orchestrator ON rollup_details (orchestrator, granularity, bucket_start);
-- Sorted doubles do not compress.
ALTER TABLE rollup_details ALTER COLUMN round_trips SET STORAGE EXTERNAL;

-- The revision of a bucket that its details were built from; another or null: they are missing or outdated.
ALTER TABLE rollup_buckets ADD COLUMN details_revision bigint;

-- The view `results` with the tester of each result: null in the old table. A view of its own, so that the way back need not drop
-- the views that depend on `results`.
DO $$
BEGIN
    IF to_regclass('events_before') IS NULL THEN
        CREATE VIEW result_details AS
        SELECT id, event_time, orchestrator, region_id, payload,
               ob_pipeline AS pipeline, ob_model AS model, ob_success_rate AS success_rate,
               ob_seg_duration AS seg_duration, ob_round_trip_time AS round_trip_time, ob_is_scored AS is_scored, tester_id
        FROM events;
    ELSE
        CREATE VIEW result_details AS
        SELECT id, event_time, orchestrator, region_id, payload,
               ob_pipeline AS pipeline, ob_model AS model, ob_success_rate AS success_rate,
               ob_seg_duration AS seg_duration, ob_round_trip_time AS round_trip_time, ob_is_scored AS is_scored, tester_id
        FROM events
        UNION ALL
        SELECT id::bigint, event_time, orchestrator, region_id, payload,
               left(coalesce(payload ->> 'pipeline', ''), 256),
               left(coalesce(payload ->> 'model', ''), 256),
               payload_number(payload, 'success_rate'),
               payload_number(payload, 'seg_duration'),
               payload_number(payload, 'round_trip_time'),
               (payload ->> 'test_outcome' LIKE 'unscored%') IS NOT TRUE,
               NULL
        FROM events_before;
    END IF;
END $$;

-- As before, and for both views.
CREATE OR REPLACE FUNCTION settle_results() RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    IF to_regclass('events_before') IS NULL THEN
        RETURN true;
    END IF;
    LOCK TABLE events_before IN SHARE ROW EXCLUSIVE MODE;
    IF EXISTS (SELECT FROM events_before) THEN
        RETURN false;
    END IF;
    LOCK TABLE results, result_details IN ACCESS EXCLUSIVE MODE;
    CREATE OR REPLACE VIEW results AS
    SELECT id, event_time, orchestrator, region_id, payload,
           ob_pipeline AS pipeline, ob_model AS model, ob_success_rate AS success_rate,
           ob_seg_duration AS seg_duration, ob_round_trip_time AS round_trip_time, ob_is_scored AS is_scored
    FROM events;
    CREATE OR REPLACE VIEW result_details AS
    SELECT id, event_time, orchestrator, region_id, payload,
           ob_pipeline AS pipeline, ob_model AS model, ob_success_rate AS success_rate,
           ob_seg_duration AS seg_duration, ob_round_trip_time AS round_trip_time, ob_is_scored AS is_scored, tester_id
    FROM events;
    DROP TABLE events_before;
    RETURN true;
END $$;

-- Owner and grants: the view has those of `results`.
DO $$
DECLARE
    granted record;
BEGIN
    EXECUTE format(
        'ALTER VIEW result_details OWNER TO %s',
        (SELECT relowner::regrole FROM pg_class WHERE oid = to_regclass('results'))
    );
    FOR granted IN
        SELECT acl.privilege_type, acl.is_grantable,
               CASE acl.grantee WHEN 0 THEN 'PUBLIC' ELSE acl.grantee::regrole::text END AS grantee
        FROM pg_class c, aclexplode(c.relacl) acl
        WHERE c.oid = to_regclass('results') AND acl.grantee <> c.relowner
    LOOP
        EXECUTE format(
            'GRANT %s ON result_details TO %s%s', granted.privilege_type, granted.grantee,
            CASE WHEN granted.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END
        );
    END LOOP;
END $$;
