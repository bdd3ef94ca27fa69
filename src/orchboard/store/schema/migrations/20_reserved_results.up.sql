-- 20: the primary key of the result that an Idempotency-Key was reserved for; docs/decisions/0024-citus.md.
--
-- Changes the catalogue only.

-- Both are null if the key was stored in one transaction with its result, as on a board that is not distributed.
ALTER TABLE idempotency_keys ADD COLUMN result_event_time timestamptz, ADD COLUMN result_id bigint;
