-- The results that were committed between two snapshots, in the order of receipt time and id: one page.
-- $1 the snapshot in which they are not visible yet; $2 the one in which they are
-- $3 a time before which none of them was received, but for those that `rollup_invalidations` names; $4 the earliest receipt time
-- of those; $5 event_time and $6 id of the result before the page; $7 the maximum number of results
-- Returns event_time, id, orchestrator (lower case), region (code), job_type, pipeline, model, tester (name, or null), is_scored,
-- success_rate, round_trip_time, error_codes (text array, at most 20). No rows: there is none behind $5 and $6. Results without a
-- region or a known job type are left out.
-- A row's xmin has 32 bits. It is completed by the newest transaction: a visible row is at most 2^31 transactions older.
WITH newest AS MATERIALIZED (
    SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS xid
),
late AS MATERIALIZED (
    SELECT greatest(i.since, $4::timestamptz) AS since, least(i.until, $3::timestamptz) AS until
    FROM rollup_invalidations i
    WHERE i.xid >= pg_snapshot_xmin($1::text::pg_snapshot) AND NOT pg_visible_in_snapshot(i.xid, $1::text::pg_snapshot)
      AND i.until >= $4 AND i.since < $3
),
candidates AS (
    SELECT e.event_time, e.id, e.orchestrator, e.region_id, e.xmin::text::bigint AS xid
    FROM events e
    WHERE e.event_time >= $3
    UNION
    SELECT e.event_time, e.id, e.orchestrator, e.region_id, e.xmin::text::bigint
    FROM late JOIN events e ON e.event_time BETWEEN late.since AND late.until
),
keys AS (
    SELECT c.event_time, c.id, c.orchestrator
    FROM candidates c, newest,
    LATERAL (
        SELECT (c.xid + newest.xid - newest.xid % 4294967296
            - CASE WHEN c.xid > newest.xid % 4294967296 THEN 4294967296 ELSE 0 END)::text::xid8 AS xid
    ) x
    WHERE (c.event_time, c.id) > ($5::timestamptz, $6::bigint)
      AND c.region_id = ANY(ARRAY(
          SELECT r.id FROM regions r JOIN job_types j ON j.id = r.job_type_id WHERE j.name IN ('transcoding', 'ai')
      ))
      AND NOT pg_visible_in_snapshot(x.xid, $1::text::pg_snapshot)
      AND pg_visible_in_snapshot(x.xid, $2::text::pg_snapshot)
    ORDER BY c.event_time, c.id
    LIMIT $7
)
{include new_result_columns};
