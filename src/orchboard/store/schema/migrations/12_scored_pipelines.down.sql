-- Takes back 12: pipelines that have only unscored results are listed again, once their spans are built again.

UPDATE spans SET is_sealed = FALSE, revision = DEFAULT
WHERE is_sealed AND EXISTS (
    SELECT FROM results e
    WHERE e.event_time >= span_start AND e.event_time < span_end AND NOT e.is_scored AND e.pipeline <> ''
);
