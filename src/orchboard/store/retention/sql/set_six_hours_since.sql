-- Says that rollups of six hours are not kept before a time. Never lowers it.
-- $1 time
UPDATE result_retention SET six_hours_since = greatest(six_hours_since, $1);
