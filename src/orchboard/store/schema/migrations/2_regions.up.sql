-- 2: the two job types and the regions of regions.csv (a test holds the two together).
-- What is there already stays as it is: 2 can be taken back while results refer to its rows.

INSERT INTO job_types (name)
SELECT seed.name
FROM (VALUES (1, 'transcoding'), (2, 'ai')) AS seed (position, name)
WHERE NOT EXISTS (SELECT FROM job_types WHERE job_types.name = seed.name)
ORDER BY seed.position;

INSERT INTO regions (name, display_name, job_type_id)
SELECT seed.name, seed.display_name, job_types.id
FROM (
    VALUES
    (1, 'GLOBAL', 'Global', 'transcoding'),
    (2, 'GLOBAL', 'Global', 'ai'),
    (3, 'ATL', 'Atlanta', 'transcoding'),
    (4, 'ATL2', 'Atlanta 2', 'transcoding'),
    (5, 'MDW', 'Chicago', 'transcoding'),
    (6, 'MDW', 'Chicago', 'ai'),
    (7, 'FRA', 'Frankfurt', 'transcoding'),
    (8, 'FRA', 'Frankfurt', 'ai'),
    (9, 'HOU', 'Houston', 'transcoding'),
    (10, 'LON', 'London', 'transcoding'),
    (11, 'LAX', 'Los Angeles', 'transcoding'),
    (12, 'LAX', 'Los Angeles', 'ai'),
    (13, 'MAD', 'Madrid', 'transcoding'),
    (14, 'MIA', 'Miami', 'transcoding'),
    (15, 'MOS2', 'Moscow', 'transcoding'),
    (16, 'ASH', 'Nashua', 'transcoding'),
    (17, 'NYC', 'New York City', 'transcoding'),
    (18, 'PRG', 'Prague', 'transcoding'),
    (19, 'SJO', 'San Jose', 'transcoding'),
    (20, 'SAO', 'São Paulo', 'transcoding'),
    (21, 'SEA', 'Seattle', 'transcoding'),
    (22, 'SIN', 'Singapore', 'transcoding'),
    (23, 'STO', 'Stockholm', 'transcoding'),
    (24, 'SYD', 'Sydney', 'transcoding'),
    (25, 'HND', 'Tokyo', 'transcoding'),
    (26, 'TOR', 'Toronto', 'transcoding')
) AS seed (position, name, display_name, job_type)
INNER JOIN job_types ON job_types.name = seed.job_type
WHERE NOT EXISTS (
    SELECT FROM regions
    WHERE regions.name = seed.name AND regions.job_type_id = job_types.id
)
ORDER BY seed.position;
