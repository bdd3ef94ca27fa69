-- What the database is called.
-- Returns one row (name).
SELECT current_database() AS name;
