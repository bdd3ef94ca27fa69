-- 10: the columns of `events` that version 6 added get names of our own, `ob_*`. In GROUP BY a column wins over an
-- output name, so the reference server's `payload ->> 'pipeline' AS pipeline`, grouped by that name, failed.
-- docs/decisions/0012-column-names.md.
--
-- Changes the catalogue only, whatever the size of the table. The view `results` keeps its column names: a view knows
-- the columns of its tables by number. No other table is locked, so no deadlock is possible.
-- squawk-ignore-file renaming-column -- our own statements read the view `results`, in this version and in earlier ones

ALTER TABLE events RENAME COLUMN pipeline TO ob_pipeline;
ALTER TABLE events RENAME COLUMN model TO ob_model;
ALTER TABLE events RENAME COLUMN success_rate TO ob_success_rate;
ALTER TABLE events RENAME COLUMN seg_duration TO ob_seg_duration;
ALTER TABLE events RENAME COLUMN round_trip_time TO ob_round_trip_time;
ALTER TABLE events RENAME COLUMN is_scored TO ob_is_scored;

-- Ends the move when no old row is left; returns true from then on. Checks under a lock that only movers wait for, then
-- takes every lock for an instant, in the order in which readers take them.
CREATE OR REPLACE FUNCTION settle_results() RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    IF to_regclass('events_before') IS NULL THEN
        RETURN true;
    END IF;
    LOCK TABLE events_before IN SHARE ROW EXCLUSIVE MODE;
    IF EXISTS (SELECT FROM events_before) THEN
        RETURN false;
    END IF;
    LOCK TABLE results IN ACCESS EXCLUSIVE MODE;
    CREATE OR REPLACE VIEW results AS
    SELECT id, event_time, orchestrator, region_id, payload,
           ob_pipeline AS pipeline, ob_model AS model, ob_success_rate AS success_rate,
           ob_seg_duration AS seg_duration, ob_round_trip_time AS round_trip_time, ob_is_scored AS is_scored
    FROM events;
    DROP TABLE events_before;
    RETURN true;
END $$;
