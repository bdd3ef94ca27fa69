-- Returns one row: age_s, how far the watermark of the rollups is behind the database's clock, in seconds; null without
-- rollups. And pending, how many invalidations are not applied yet.
SELECT
    (extract(EPOCH FROM clock_timestamp()) - pg_sequence_last_value('rollup_watermark'::regclass))::float AS age_s,
    (SELECT count(*) FROM rollup_invalidations WHERE NOT is_applied) AS pending;
