-- Every job tester that has, or had, a key of its own, in the order they were added.
-- Returns id (integer), name, key (null: revoked), regions (array of codes; null: any), added_at, revoked_at (or null).
SELECT id, name, key, regions, added_at, revoked_at FROM testers ORDER BY id;
