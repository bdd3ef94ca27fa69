-- Ends the move when no old result is left. Returns true when it is over.
SELECT settle_results();
