-- Adds invalidations of the rollups of some ranges of receipt time.
-- $1 since, $2 until: arrays of equal length; both ends included
INSERT INTO rollup_invalidations (since, until)
SELECT since, until FROM unnest($1::timestamptz[], $2::timestamptz[]) AS r (since, until);
