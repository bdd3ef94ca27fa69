-- Our triggers that note changed results and are missing, or do not fire for every session: "note_late_result ON events".
-- Empty: all of them fire. A table that does not exist lacks none.
SELECT format('%s ON %s', expected.trigger, expected.relation) AS name
FROM (
    SELECT
        relation,
        trigger
    FROM unnest(ARRAY['events', 'events_before']) AS relation
    CROSS JOIN
        unnest(
            ARRAY['note_late_result', 'note_updated_results', 'note_deleted_results', 'note_truncated_results']
        ) AS trigger
    UNION ALL
    VALUES
    ('regions', 'note_renamed_region'), ('regions', 'note_changed_region'), ('job_types', 'note_changed_job_type')
) AS expected
LEFT JOIN pg_trigger AS found
    ON found.tgrelid = to_regclass(expected.relation) AND found.tgname = expected.trigger
WHERE to_regclass(expected.relation) IS NOT NULL AND found.tgenabled IS DISTINCT FROM 'A'
ORDER BY expected.relation, expected.trigger
