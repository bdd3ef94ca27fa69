-- Takes back 10.
-- squawk-ignore-file renaming-column

ALTER TABLE events RENAME COLUMN ob_pipeline TO pipeline;
ALTER TABLE events RENAME COLUMN ob_model TO model;
ALTER TABLE events RENAME COLUMN ob_success_rate TO success_rate;
ALTER TABLE events RENAME COLUMN ob_seg_duration TO seg_duration;
ALTER TABLE events RENAME COLUMN ob_round_trip_time TO round_trip_time;
ALTER TABLE events RENAME COLUMN ob_is_scored TO is_scored;

-- Ends the move when no old row is left: true from then on. Looks while everybody reads and writes but the movers;
-- then takes every lock for an instant, in the order in which a reader takes them.
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
           pipeline, model, success_rate, seg_duration, round_trip_time, is_scored
    FROM events;
    DROP TABLE events_before;
    RETURN true;
END $$;
