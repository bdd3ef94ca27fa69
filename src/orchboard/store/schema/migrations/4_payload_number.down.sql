-- Takes back 4. Keys that are still remembered are forgotten.

DROP TABLE idempotency_keys;
DROP FUNCTION payload_number(jsonb, text);
