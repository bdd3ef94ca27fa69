-- What `distribute` needs to know before it begins. For any database.
-- Returns one row: extension, the version of Citus, or null; others, the other sessions of this database that are not Citus's
-- own, as texts; is_moving, whether results wait in the old table; rows, an estimate of the number of results; is_superuser;
-- local_bytes, the size of what is in `events` on this server; is_distributed.
SELECT
    (SELECT extversion FROM pg_extension WHERE extname = 'citus') AS extension,
    (
        SELECT coalesce(
            array_agg(
                format(
                    'pid %s of user %s (%s)', pid, usename,
                    concat_ws(', ', nullif(application_name, ''), coalesce(host(client_addr), 'local'))
                )
                ORDER BY pid
            ),
            '{}'
        )
        FROM pg_stat_activity
        WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
          AND application_name NOT LIKE 'citus%'
    ) AS others,
    to_regclass('events_before') IS NOT NULL AS is_moving,
    (SELECT count(*) FROM result_details) AS rows,
    current_setting('is_superuser')::boolean AS is_superuser,
    pg_relation_size('events') AS local_bytes;
