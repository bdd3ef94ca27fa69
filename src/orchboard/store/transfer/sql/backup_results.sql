-- Results as lines of a backup, in the order of receipt, those of the same moment in that of the lines themselves.
-- Wants the time zone to be UTC.
-- $1, $2 the first and the last moment (text)
-- Returns a row (line: JSON with event_time, orchestrator as it was written, region and job_type, both null for
-- a result without a region, and payload) for each result; none when none was received then.
-- No join: it would lose the index's order, and all results would be sorted.
SELECT s.line
FROM (
    SELECT r.event_time, row_to_json(r)::text COLLATE "C" AS line
    FROM (
        SELECT
            event_time,
            orchestrator,
            (SELECT g.name FROM regions g WHERE g.id = region_id) AS region,
            (SELECT j.name FROM regions g JOIN job_types j ON j.id = g.job_type_id WHERE g.id = region_id) AS job_type,
            payload
        FROM results
        WHERE event_time >= $1::text::timestamptz AND event_time <= $2::text::timestamptz
    ) r
) s
ORDER BY s.event_time, s.line;
