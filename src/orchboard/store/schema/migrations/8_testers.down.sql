-- Takes back 8: keys, and whose each result was, are forgotten; the results stay.
-- squawk-ignore ban-drop-column -- the way down is real
ALTER TABLE events DROP COLUMN tester_id;
DROP TABLE testers;
