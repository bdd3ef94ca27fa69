-- SQLite: the digest of the body that an Idempotency-Key was used with.
-- Returns one row (body_digest); none for a new key.
SELECT body_digest FROM spooled WHERE key = ?;
