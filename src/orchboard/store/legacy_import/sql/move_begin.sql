-- Where the move of old results has come to, as far as a new one can tell without looking at those.
-- Returns one row: reached (null: nothing was moved yet; within the years 1 to 9999, as callers hold no others), and
-- is_counted: whether `takeover` knows how many are left.
SELECT
    CASE
        WHEN e.first IS NOT NULL
            THEN least(greatest(e.first, '0001-01-02 00:00:00.000001Z'), '9999-12-30 00:00Z')
    END AS reached,
    pg_stat_get_live_tuples(to_regclass('events_before')) > 0 AS is_counted
FROM (SELECT min(event_time) AS first FROM events) e;
