-- All job testers, also with revoked keys, in the order they were added.
-- Returns id (integer), name, key (null: revoked), regions (array of codes; null: any), added_at, revoked_at (null: valid).
SELECT id, name, key, regions, added_at, revoked_at FROM testers ORDER BY id;
