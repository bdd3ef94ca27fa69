-- Results as lines of a backup, in the order of receipt, then of the lines.
-- Requires the time zone UTC.
-- $1, $2 first and last receipt time (text)
-- Returns one row (line) per result: JSON with event_time, orchestrator as stored, region and job_type (both null for a result
-- without a region), and payload. Empty: no result was received then.
-- Subqueries instead of a join: with a join the planner would not use the index's order, and would sort all results.
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
