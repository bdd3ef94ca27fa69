-- Sets the time limits of a background transaction: idle, waiting for a lock, running a statement.
-- Returns one row, to be ignored.
SELECT
    set_config('idle_in_transaction_session_timeout', '10s', TRUE),
    set_config('lock_timeout', '10s', TRUE),
    set_config('statement_timeout', '600s', TRUE);
