-- 16: a change of a tester's name or id clears the memory of running servers, as that of a region does (11).
-- CREATE TRIGGER blocks writers of `testers` for an instant.
CREATE TRIGGER note_renamed_tester AFTER DELETE OR UPDATE OF id, name ON testers
FOR EACH STATEMENT EXECUTE FUNCTION note_changed_region();
ALTER TABLE testers ENABLE ALWAYS TRIGGER note_renamed_tester;
