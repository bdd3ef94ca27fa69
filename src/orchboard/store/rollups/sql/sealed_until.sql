-- Up to where rollups were built. Returns one row (sealed_until), null without any.
SELECT max(sealed_until) AS sealed_until FROM sealing;
