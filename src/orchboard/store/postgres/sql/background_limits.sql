-- Limits one transaction of a background task: how long it may be idle, wait for a lock, and run a statement.
SELECT
    set_config('idle_in_transaction_session_timeout', '10s', TRUE),
    set_config('lock_timeout', '10s', TRUE),
    set_config('statement_timeout', '600s', TRUE);
