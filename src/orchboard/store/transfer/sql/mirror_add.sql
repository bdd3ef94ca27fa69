-- Adds a mirror unless it is there.
-- $1 URL
INSERT INTO mirrors (url) VALUES ($1) ON CONFLICT (url) DO NOTHING;
