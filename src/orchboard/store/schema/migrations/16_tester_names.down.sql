-- Takes back 16: running servers keep the names of testers that they have read.
DROP TRIGGER note_renamed_tester ON testers;
