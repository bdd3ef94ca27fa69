-- Where the move of old results has come to, as far as a new one can tell without looking at those.
-- Returns one row: reached (null: nothing was moved yet), and is_counted: whether `takeover` knows how many are left.
SELECT
    (SELECT min(event_time) FROM events) AS reached,
    pg_stat_get_live_tuples(to_regclass('events_before')) > 0 AS is_counted;
