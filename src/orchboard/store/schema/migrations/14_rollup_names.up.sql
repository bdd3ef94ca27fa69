-- 14: the view `scored_results`, the definition of which results count; and standard names for the rollup tables of version 7.
-- docs/decisions/0007-summaries.md.
--
-- Changes the catalogue only, whatever the size of the tables. Views keep the former names of the tables and columns, so that
-- servers of an older release keep answering and building rollups on this schema; a later version removes them.
-- squawk-ignore-file renaming-table, renaming-column, renaming-object -- see above

-- In the order in which a builder of rollups locks them, which prevents deadlocks.
LOCK TABLE sealing, spans, segments, pipelines_seen, round_trips, series IN ACCESS EXCLUSIVE MODE;

ALTER SEQUENCE span_revisions RENAME TO rollup_revisions;

ALTER TABLE sealing RENAME TO rollup_progress;
ALTER TABLE rollup_progress RENAME COLUMN level TO granularity;
ALTER TABLE rollup_progress RENAME COLUMN sealed_since TO materialized_since;
ALTER TABLE rollup_progress RENAME COLUMN sealed_until TO materialized_until;
ALTER INDEX sealing_pkey RENAME TO rollup_progress_pkey;

ALTER TABLE spans RENAME TO rollup_buckets;
ALTER TABLE rollup_buckets RENAME COLUMN level TO granularity;
ALTER TABLE rollup_buckets RENAME COLUMN span_start TO bucket_start;
ALTER TABLE rollup_buckets RENAME COLUMN span_end TO bucket_end;
ALTER TABLE rollup_buckets RENAME COLUMN is_sealed TO is_materialized;
ALTER INDEX spans_pkey RENAME TO rollup_buckets_pkey;
ALTER INDEX idx_spans_unsealed RENAME TO idx_rollup_buckets_invalid;

ALTER TABLE segments RENAME TO rollup_sums;
ALTER TABLE rollup_sums RENAME COLUMN level TO granularity;
ALTER TABLE rollup_sums RENAME COLUMN span_start TO bucket_start;
ALTER TABLE rollup_sums RENAME COLUMN series TO groups;
ALTER INDEX segments_pkey RENAME TO rollup_sums_pkey;

ALTER TABLE pipelines_seen RENAME TO rollup_pipelines;
ALTER TABLE rollup_pipelines RENAME COLUMN level TO granularity;
ALTER TABLE rollup_pipelines RENAME COLUMN span_start TO bucket_start;
ALTER INDEX pipelines_seen_pkey RENAME TO rollup_pipelines_pkey;

ALTER TABLE round_trips RENAME TO rollup_round_trips;
ALTER TABLE rollup_round_trips RENAME COLUMN level TO granularity;
ALTER TABLE rollup_round_trips RENAME COLUMN span_start TO bucket_start;
ALTER TABLE rollup_round_trips RENAME COLUMN first_bucket TO first_bin;
ALTER TABLE rollup_round_trips RENAME COLUMN buckets TO bin_counts;
ALTER INDEX round_trips_pkey RENAME TO rollup_round_trips_pkey;
ALTER INDEX round_trips_level_span_start_pipeline_model_region_id_key RENAME TO rollup_round_trips_key;
ALTER SEQUENCE round_trips_id_seq RENAME TO rollup_round_trips_id_seq;

ALTER TABLE series RENAME TO rollup_groups;
ALTER INDEX series_pkey RENAME TO rollup_groups_pkey;
ALTER INDEX series_orchestrator_region_id_pipeline_model_key RENAME TO rollup_groups_key;
ALTER SEQUENCE series_id_seq RENAME TO rollup_groups_id_seq;

ALTER FUNCTION round_trip_bucket(double precision) RENAME TO round_trip_bin;

-- The results that count: scored, with an orchestrator and a region. Transcoding has no pipelines: its results have '' there,
-- and what the result names in `listed_pipeline` and `listed_model`. A result without a known job type has no scores, and is
-- listed only. `is_success`: its round trip counts in the median. store/rollups/result_columns.py has the same
-- definition for results in memory; tests/store/rollups/test_scored_results.py compares the two.
-- LEFT JOIN: the planner removes it from a statement that needs no job type. `+ 0`: without statistics it would otherwise search
-- the old table by region instead of by time.
CREATE VIEW scored_results AS
SELECT
    e.event_time,
    lower(e.orchestrator) AS orchestrator,
    e.region_id,
    j.id AS job_type_id,
    j.name AS job_type,
    CASE WHEN j.name = 'ai' THEN e.pipeline ELSE '' END AS pipeline,
    CASE WHEN j.name = 'ai' THEN e.model ELSE '' END AS model,
    e.pipeline AS listed_pipeline,
    e.model AS listed_model,
    e.success_rate,
    e.seg_duration,
    e.round_trip_time,
    j.name = 'ai' AND e.success_rate = 1 AND e.round_trip_time <> 0 AS is_success
FROM results e
LEFT JOIN regions r ON r.id = e.region_id + 0
LEFT JOIN job_types j ON j.id = r.job_type_id
WHERE e.is_scored AND e.orchestrator <> '' AND e.region_id IS NOT NULL;

-- The former names, for servers of an older release.
CREATE VIEW spans AS
SELECT granularity AS level, bucket_start AS span_start, bucket_end AS span_end, is_materialized AS is_sealed, results, revision
FROM rollup_buckets;
-- ON CONFLICT DO UPDATE SET revision = DEFAULT takes the default of the view, not of its table.
ALTER VIEW spans ALTER COLUMN revision SET DEFAULT nextval('rollup_revisions');
CREATE VIEW sealing AS
SELECT granularity AS level, materialized_since AS sealed_since, materialized_until AS sealed_until FROM rollup_progress;
CREATE VIEW segments AS
SELECT granularity AS level, bucket_start AS span_start, job_type_id, pipeline, model, groups AS series, results,
       success_rate, seg_duration, round_trip_time
FROM rollup_sums;
CREATE VIEW round_trips AS
SELECT id, granularity AS level, bucket_start AS span_start, pipeline, model, region_id,
       first_bin AS first_bucket, bin_counts AS buckets, round_trips
FROM rollup_round_trips;
CREATE VIEW pipelines_seen AS
SELECT granularity AS level, bucket_start AS span_start, pipeline, model, region_id FROM rollup_pipelines;
CREATE VIEW series AS SELECT id, orchestrator, region_id, pipeline, model FROM rollup_groups;
CREATE FUNCTION round_trip_bucket(round_trip_time double precision) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN round_trip_bin(round_trip_time);

-- Owners and grants: a view has those of its table.
DO $$
DECLARE
    pair record;
    granted record;
BEGIN
    FOR pair IN
        SELECT source.oid, source.relowner::regrole AS owner, source.relacl, p.view
        FROM (VALUES
            ('results', 'scored_results'), ('rollup_buckets', 'spans'), ('rollup_progress', 'sealing'),
            ('rollup_sums', 'segments'), ('rollup_round_trips', 'round_trips'), ('rollup_pipelines', 'pipelines_seen'),
            ('rollup_groups', 'series')
        ) AS p (source, view)
        INNER JOIN pg_class source ON source.oid = to_regclass(p.source)
    LOOP
        EXECUTE format('ALTER TABLE %I OWNER TO %s', pair.view, pair.owner);
        FOR granted IN
            SELECT acl.privilege_type, acl.is_grantable,
                   CASE acl.grantee WHEN 0 THEN 'PUBLIC' ELSE acl.grantee::regrole::text END AS grantee
            FROM aclexplode(pair.relacl) acl
            INNER JOIN pg_class source ON source.oid = pair.oid
            WHERE acl.grantee <> source.relowner
        LOOP
            EXECUTE format(
                'GRANT %s ON %I TO %s%s', granted.privilege_type, pair.view, granted.grantee,
                CASE WHEN granted.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END
            );
        END LOOP;
    END LOOP;
END $$;
