-- Makes all rollups before a time final. Never lowers it.
-- $1 time
INSERT INTO result_retention (kept_since) VALUES ($1)
ON CONFLICT (is_only_row) DO UPDATE SET kept_since = greatest(result_retention.kept_since, excluded.kept_since);
