-- What kind of server this is.
-- Returns one row: version, major, clock, encrypted (null behind a pooler that hides it), read_only, and
-- pooled: whether the session settings that we connect with were dropped on the way.
SELECT
    split_part(current_setting('server_version'), ' ', 1) AS version,
    current_setting('server_version_num')::integer / 10000 AS major,
    clock_timestamp() AS clock,
    (SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()) AS encrypted,
    current_setting('transaction_read_only')::boolean AS read_only,
    current_setting('plan_cache_mode') <> 'force_custom_plan' AS pooled;
