-- Every rollup bucket, by start and then from the longest to the shortest. A bucket that overlaps a pending invalidation
-- counts as not materialized.
-- $1 whether a bucket without current details also counts as not materialized
-- Invalidations before `results_kept_since` are without effect: those rollups are final.
-- Returns one row of bytea (integers, big-endian; times in microseconds since 2000): granularities, starts, ends,
-- materialized (1 byte each), revisions, results; null without buckets. And now, the database's clock, and kept_since, see `result_retention`; null if all results are kept.
SELECT
    now() AS now,
    (SELECT kept_since FROM result_retention) AS kept_since,
    string_agg(int4send(b.granularity), '') AS granularities,
    string_agg(timestamptz_send(b.bucket_start), '') AS starts,
    string_agg(timestamptz_send(b.bucket_end), '') AS ends,
    string_agg(boolsend(b.is_materialized), '') AS materialized,
    string_agg(int8send(b.revision), '') AS revisions,
    string_agg(int8send(b.results), '') AS results
FROM (
    SELECT
        granularity, bucket_start, bucket_end, revision, results,
        is_materialized AND (NOT $1::boolean OR details_revision IS NOT DISTINCT FROM revision)
            AND (tstzrange(bucket_start, bucket_end) && pending.ranges) IS NOT TRUE AS is_materialized
    FROM rollup_buckets
    CROSS JOIN (
        SELECT range_agg(tstzrange(greatest(since, k.kept_since), until, '[]')) AS ranges
        FROM rollup_invalidations, results_kept_since() AS k (kept_since)
        WHERE NOT is_applied AND until >= k.kept_since
    ) pending
    ORDER BY bucket_start, bucket_end DESC
) b;
