-- Our triggers on changed results that are missing or do not fire in every session, as "note_late_result ON events".
-- Returns name, sorted. Empty: all fire. Triggers of a missing table are not listed.
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
    ('regions', 'note_renamed_region'), ('regions', 'note_changed_region'), ('job_types', 'note_changed_job_type'),
    ('testers', 'note_renamed_tester')
) AS expected
LEFT JOIN pg_trigger AS found
    ON found.tgrelid = to_regclass(expected.relation) AND found.tgname = expected.trigger
WHERE to_regclass(expected.relation) IS NOT NULL AND found.tgenabled IS DISTINCT FROM 'A'
ORDER BY expected.relation, expected.trigger
