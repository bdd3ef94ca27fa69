-- Statements that grant the privileges on all views again, which Citus loses: it drops the views of a table that it moves, and makes them
-- anew.
-- Returns statement.
SELECT format(
    'GRANT %s ON %s TO %s%s',
    acl.privilege_type, c.oid::regclass,
    CASE acl.grantee WHEN 0 THEN 'PUBLIC' ELSE acl.grantee::regrole::text END,
    CASE WHEN acl.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END
) AS statement
FROM pg_class c, aclexplode(c.relacl) acl
WHERE c.relkind = 'v' AND acl.grantee <> c.relowner
AND c.relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
UNION ALL
SELECT format(
    'GRANT %s (%I) ON %s TO %s%s',
    acl.privilege_type, a.attname, c.oid::regclass,
    CASE acl.grantee WHEN 0 THEN 'PUBLIC' ELSE acl.grantee::regrole::text END,
    CASE WHEN acl.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END
)
FROM pg_class c
JOIN pg_attribute a ON a.attrelid = c.oid
CROSS JOIN aclexplode(a.attacl) acl
WHERE c.relkind = 'v' AND c.relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace);
