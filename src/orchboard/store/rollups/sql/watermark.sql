-- Returns one row: age_s, the lag of the rollup watermark behind the database's clock, in seconds, null without rollups; and
-- pending, the number of invalidations that are not applied.
SELECT
    (extract(EPOCH FROM clock_timestamp()) - pg_sequence_last_value('rollup_watermark'::regclass))::float AS age_s,
    (SELECT count(*) FROM rollup_invalidations WHERE NOT is_applied) AS pending;
