-- Takes back 7. Nothing is lost: all of it was made from the results.

DROP FUNCTION round_trip_bucket(double precision);
DROP TABLE pipelines_seen, round_trips, segments, series, sealing, spans;
-- squawk-ignore ban-drop-sequence
DROP SEQUENCE span_revisions;
