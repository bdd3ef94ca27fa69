-- How many spans are to be built again, those of pending invalidations included.
-- Returns one row (number).
SELECT count(*) AS number
FROM spans
CROSS JOIN (
    SELECT range_agg(tstzrange(since, until, '[]')) AS ranges FROM rollup_invalidations WHERE NOT is_applied
) pending
WHERE NOT is_sealed OR tstzrange(span_start, span_end) && pending.ranges;
