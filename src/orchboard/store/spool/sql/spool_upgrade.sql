-- SQLite: adds what the first layout of the spool lacked; its `tester` was never written. Returns nothing.
ALTER TABLE spooled ADD COLUMN tester_id INTEGER;
