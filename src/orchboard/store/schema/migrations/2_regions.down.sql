-- Takes back 2. A region that a result refers to stays, and so does its job type.
-- The sequences go back too, so that a second way up gives the same numbers.

DELETE FROM regions
USING job_types
WHERE
    regions.job_type_id = job_types.id
    AND NOT EXISTS (SELECT FROM events WHERE events.region_id = regions.id)
    AND (
        job_types.name = 'transcoding' AND regions.name IN (
            'GLOBAL', 'ATL', 'ATL2', 'MDW', 'FRA', 'HOU', 'LON', 'LAX', 'MAD', 'MIA', 'MOS2',
            'ASH', 'NYC', 'PRG', 'SJO', 'SAO', 'SEA', 'SIN', 'STO', 'SYD', 'HND', 'TOR'
        )
        OR job_types.name = 'ai' AND regions.name IN ('GLOBAL', 'MDW', 'FRA', 'LAX')
    );

DELETE FROM job_types
WHERE
    job_types.name IN ('transcoding', 'ai')
    AND NOT EXISTS (SELECT FROM regions WHERE regions.job_type_id = job_types.id);

SELECT
    setval('regions_id_seq', coalesce((SELECT max(id) FROM regions), 0) + 1, false),
    setval('job_types_id_seq', coalesce((SELECT max(id) FROM job_types), 0) + 1, false);
