-- Properties of the server and the connection.
-- Returns one row: version, major, clock, encrypted (null: behind a pooler that hides it), read_only, pooled (the session settings
-- of our connection were reset on the way), unsafe (settings that are off and without which commits may not be durable).
SELECT
    split_part(current_setting('server_version'), ' ', 1) AS version,
    current_setting('server_version_num')::integer / 10000 AS major,
    clock_timestamp() AS clock,
    (SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()) AS encrypted,
    current_setting('transaction_read_only')::boolean AS read_only,
    current_setting('plan_cache_mode') <> 'force_custom_plan' AS pooled,
    ARRAY(
        SELECT name
        FROM pg_settings
        WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit') AND setting = 'off'
        ORDER BY name
    ) AS unsafe;
