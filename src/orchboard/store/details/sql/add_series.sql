-- The ids of some series; adds those that have none.
-- $1 orchestrators, $2 region ids, $3 pipelines, $4 models, $5 tester ids (0 without one): arrays of equal length, in the order of the
-- unique key, so that two builders can't wait for each other
-- Returns id, number: the position in the arrays, from 1; one row for each series.
WITH asked AS (
    SELECT *
    FROM unnest($1::text[], $2::integer[], $3::text[], $4::text[], $5::integer[])
        WITH ORDINALITY AS a (orchestrator, region_id, pipeline, model, tester_id, number)
),
added AS (
    INSERT INTO rollup_series (orchestrator, region_id, pipeline, model, tester_id)
    SELECT orchestrator, region_id, pipeline, model, tester_id
    FROM asked a
    WHERE NOT EXISTS (
        SELECT FROM rollup_series s
        WHERE s.orchestrator = a.orchestrator AND s.region_id = a.region_id AND s.pipeline = a.pipeline
          AND s.model = a.model AND s.tester_id = a.tester_id
    )
    ORDER BY number
    ON CONFLICT DO NOTHING
    RETURNING id, orchestrator, region_id, pipeline, model, tester_id
)
SELECT s.id, a.number
FROM asked a
JOIN (SELECT * FROM rollup_series UNION ALL SELECT * FROM added) s
    ON s.orchestrator = a.orchestrator AND s.region_id = a.region_id AND s.pipeline = a.pipeline
    AND s.model = a.model AND s.tester_id = a.tester_id;
