-- Drops the old table if it is empty. Returns true if it does not exist any more.
SELECT settle_results();
