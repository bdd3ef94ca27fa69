-- From when on results are kept.
-- Returns kept_since, six_hours_since; no row if all results are kept.
SELECT kept_since, six_hours_since FROM result_retention;
