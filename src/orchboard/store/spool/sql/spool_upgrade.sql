-- SQLite: adds the column that the first layout lacks. Its column `tester` was never written. Returns nothing.
ALTER TABLE spooled ADD COLUMN tester_id INTEGER;
