-- Removes dead rows from the old table and returns disk space. Skips the table if it is locked. Returns nothing.
VACUUM (SKIP_LOCKED, PARALLEL 0) events_before;
