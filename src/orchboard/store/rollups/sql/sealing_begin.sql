-- Begins the summing up of a level, once.
-- $1 level, $2 moment from which it goes on in both directions
INSERT INTO sealing (level, sealed_since, sealed_until) VALUES ($1, $2, $2) ON CONFLICT DO NOTHING;
