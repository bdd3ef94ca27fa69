-- The privileges that this role lacks to delete old results and rollups, beyond those of `ping`.
-- Returns one row: role; missing (the privileges, as in GRANT, sorted).
SELECT
    current_user AS role,
    ARRAY(
        SELECT p.privilege || ' ON ' || n.name AS lacked
        FROM (VALUES ('DELETE', 'events'), ('INSERT, UPDATE', 'result_retention')) AS n (privileges, name)
        CROSS JOIN LATERAL unnest(string_to_array(n.privileges, ', ')) AS p (privilege)
        WHERE NOT has_table_privilege(to_regclass(n.name), p.privilege)
        ORDER BY lacked
    ) AS missing;
