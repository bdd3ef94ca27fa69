-- From when on results are kept.
-- Returns kept_since, six_hours_since (limited to the range of Python's datetime); no row if all results are kept.
SELECT kept_since, greatest(six_hours_since, '0001-01-02 00:00+00') AS six_hours_since FROM result_retention;
