-- The name of the database.
-- Returns one row (name).
SELECT current_database() AS name;
