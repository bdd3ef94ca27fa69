-- What is summed up: every span, by start and then from the longest to the shortest.
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
FROM (SELECT * FROM spans ORDER BY span_start, span_end DESC) s;
