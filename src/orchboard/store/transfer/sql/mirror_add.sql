-- Registers a leaderboard that is copied. Does nothing if it is registered.
-- $1 URL
-- Returns nothing.
INSERT INTO mirrors (url) VALUES ($1) ON CONFLICT (url) DO NOTHING;
