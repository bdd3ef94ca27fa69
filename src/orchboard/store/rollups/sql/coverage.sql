-- Every rollup bucket, by start and then from the longest to the shortest. A bucket that overlaps a pending invalidation
-- counts as not materialized.
-- $1 whether a bucket without current details also counts as not materialized
-- Returns one row of bytea (integers, big-endian; times in microseconds since 2000): granularities, starts, ends,
-- materialized (1 byte each), revisions, results; null without buckets. And now, the database's clock.
SELECT
    now() AS now,
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
        SELECT range_agg(tstzrange(since, until, '[]')) AS ranges FROM rollup_invalidations WHERE NOT is_applied
    ) pending
    ORDER BY bucket_start, bucket_end DESC
) b;
