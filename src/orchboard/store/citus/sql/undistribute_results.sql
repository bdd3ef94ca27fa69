-- Moves all results, and the regions and job types, back to this server. Needs Citus.
-- Returns nothing of use.
SELECT undistribute_table('events', cascade_via_foreign_keys := TRUE);
