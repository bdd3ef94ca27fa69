-- SQLite: the digest of the body that an Idempotency-Key came with. One row (body_digest); none for a key that is new.
SELECT body_digest FROM spooled WHERE key = ?;
