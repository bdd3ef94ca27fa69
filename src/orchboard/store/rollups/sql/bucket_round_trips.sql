-- The round trips of the successful AI results of some materialized buckets. A long list returns only its counts by bin;
-- `round_trip_slices` then reads the bin that contains the quantile.
-- $1 granularities, $2 starts: arrays of equal length
-- Returns granularity, bucket_start, revision and is_materialized of each bucket that exists; pipeline, model, region_id and either
-- round_trips (doubles, sorted) or id, first_bin, bin_counts, a row for each list; null without one.
SELECT
    b.granularity, b.bucket_start, b.revision, b.is_materialized,
    t.pipeline, t.model, t.region_id, t.id, t.first_bin, t.bin_counts,
    CASE WHEN t.bin_counts IS NULL THEN t.round_trips END AS round_trips
FROM unnest($1::smallint[], $2::timestamptz[]) AS a (granularity, bucket_start)
JOIN rollup_buckets b ON b.granularity = a.granularity AND b.bucket_start = a.bucket_start
LEFT JOIN rollup_round_trips t ON t.granularity = b.granularity AND t.bucket_start = b.bucket_start;
