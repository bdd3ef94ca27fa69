-- What kind of server this is.
-- Returns one row: version, major, clock, encrypted (null behind a pooler that hides it), read_only, and
-- pooled: whether the session settings that we connect with were dropped on the way, and unsafe: which of the
-- settings are off without which a commit may not outlive the power.
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
