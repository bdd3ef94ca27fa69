-- What is summed up: every span, by start and then from the longest to the shortest. A span that a pending invalidation
-- touches counts as not sealed.
-- Returns one row of arrays (integers, big-endian; moments in microseconds since 2000): levels, starts, ends, sealed
-- (a byte each), revisions, results; null without spans. And now, the database's clock.
SELECT
    now() AS now,
    string_agg(int4send(s.level), '') AS levels,
    string_agg(timestamptz_send(s.span_start), '') AS starts,
    string_agg(timestamptz_send(s.span_end), '') AS ends,
    string_agg(boolsend(s.is_sealed), '') AS sealed,
    string_agg(int8send(s.revision), '') AS revisions,
    string_agg(int8send(s.results), '') AS results
FROM (
    SELECT
        level, span_start, span_end, revision, results,
        is_sealed AND (tstzrange(span_start, span_end) && pending.ranges) IS NOT TRUE AS is_sealed
    FROM spans
    CROSS JOIN (
        SELECT range_agg(tstzrange(since, until, '[]')) AS ranges FROM rollup_invalidations WHERE NOT is_applied
    ) pending
    ORDER BY span_start, span_end DESC
) s;
