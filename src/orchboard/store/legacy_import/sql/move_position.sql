-- The position of the move of old results, found without a scan of the old table.
-- Returns one row: reached (receipt time of the oldest moved result, within the years 1 to 9999, which Python can represent;
-- null: nothing is moved yet), has_statistics (whether `backfill_progress` can tell how many are left).
SELECT
    CASE
        WHEN e.first IS NOT NULL
            THEN least(greatest(e.first, '0001-01-02 00:00:00.000001Z'), '9999-12-30 00:00Z')
    END AS reached,
    pg_stat_get_live_tuples(to_regclass('events_before')) > 0 AS has_statistics
FROM (SELECT min(event_time) AS first FROM events) e;
