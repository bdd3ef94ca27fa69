-- Cleans up where old results were moved away, and gives the room back. Waits for nobody. Returns nothing.
VACUUM (SKIP_LOCKED, PARALLEL 0) events_before;
