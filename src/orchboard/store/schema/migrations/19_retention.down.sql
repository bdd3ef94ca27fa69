-- Takes back 19. An older release would build the rollups of deleted results again, to nothing: refused once results were deleted.
DO $$
BEGIN
    IF EXISTS (SELECT FROM result_retention) THEN
        RAISE EXCEPTION 'results before % were deleted, and their rollups can''t be built again: an older release would lose them',
            results_kept_since();
    END IF;
END $$;
DROP TRIGGER keep_final_bucket ON rollup_buckets;
DROP FUNCTION keep_final_bucket();
DROP FUNCTION results_kept_since();
DROP TABLE result_retention;
