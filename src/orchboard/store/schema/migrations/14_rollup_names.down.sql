-- Takes back 14. Changes the catalogue only.
-- squawk-ignore-file renaming-table, renaming-column, renaming-object, ban-drop-view -- the way down is real

LOCK TABLE rollup_progress, rollup_buckets, rollup_sums, rollup_pipelines, rollup_round_trips, rollup_groups
IN ACCESS EXCLUSIVE MODE;

DROP VIEW spans, sealing, segments, round_trips, pipelines_seen, series, scored_results;
DROP FUNCTION round_trip_bucket(double precision);

ALTER FUNCTION round_trip_bin(double precision) RENAME TO round_trip_bucket;

ALTER TABLE rollup_groups RENAME TO series;
ALTER INDEX rollup_groups_pkey RENAME TO series_pkey;
ALTER INDEX rollup_groups_key RENAME TO series_orchestrator_region_id_pipeline_model_key;
ALTER SEQUENCE rollup_groups_id_seq RENAME TO series_id_seq;

ALTER TABLE rollup_round_trips RENAME TO round_trips;
ALTER TABLE round_trips RENAME COLUMN granularity TO level;
ALTER TABLE round_trips RENAME COLUMN bucket_start TO span_start;
ALTER TABLE round_trips RENAME COLUMN first_bin TO first_bucket;
ALTER TABLE round_trips RENAME COLUMN bin_counts TO buckets;
ALTER INDEX rollup_round_trips_pkey RENAME TO round_trips_pkey;
ALTER INDEX rollup_round_trips_key RENAME TO round_trips_level_span_start_pipeline_model_region_id_key;
ALTER SEQUENCE rollup_round_trips_id_seq RENAME TO round_trips_id_seq;

ALTER TABLE rollup_pipelines RENAME TO pipelines_seen;
ALTER TABLE pipelines_seen RENAME COLUMN granularity TO level;
ALTER TABLE pipelines_seen RENAME COLUMN bucket_start TO span_start;
ALTER INDEX rollup_pipelines_pkey RENAME TO pipelines_seen_pkey;

ALTER TABLE rollup_sums RENAME TO segments;
ALTER TABLE segments RENAME COLUMN granularity TO level;
ALTER TABLE segments RENAME COLUMN bucket_start TO span_start;
ALTER TABLE segments RENAME COLUMN groups TO series;
ALTER INDEX rollup_sums_pkey RENAME TO segments_pkey;

ALTER TABLE rollup_buckets RENAME TO spans;
ALTER TABLE spans RENAME COLUMN granularity TO level;
ALTER TABLE spans RENAME COLUMN bucket_start TO span_start;
ALTER TABLE spans RENAME COLUMN bucket_end TO span_end;
ALTER TABLE spans RENAME COLUMN is_materialized TO is_sealed;
ALTER INDEX rollup_buckets_pkey RENAME TO spans_pkey;
ALTER INDEX idx_rollup_buckets_invalid RENAME TO idx_spans_unsealed;

ALTER TABLE rollup_progress RENAME TO sealing;
ALTER TABLE sealing RENAME COLUMN granularity TO level;
ALTER TABLE sealing RENAME COLUMN materialized_since TO sealed_since;
ALTER TABLE sealing RENAME COLUMN materialized_until TO sealed_until;
ALTER INDEX rollup_progress_pkey RENAME TO sealing_pkey;

ALTER SEQUENCE rollup_revisions RENAME TO span_revisions;
