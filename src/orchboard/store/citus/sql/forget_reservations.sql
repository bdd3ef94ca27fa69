-- Makes every Idempotency-Key one whose result is stored, as on a board that was never distributed. Deletes those that were reserved
-- for a result which was not stored: the server stopped between both, and nobody was told that it is stored.
-- Returns nothing.
WITH unused AS (
    DELETE FROM idempotency_keys k
    WHERE k.result_id IS NOT NULL
      AND NOT EXISTS (SELECT FROM events e WHERE e.event_time = k.result_event_time AND e.id = k.result_id)
    RETURNING key
)
UPDATE idempotency_keys SET result_event_time = NULL, result_id = NULL
WHERE result_id IS NOT NULL AND key NOT IN (SELECT key FROM unused);
