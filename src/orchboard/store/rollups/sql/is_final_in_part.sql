-- Whether the results of a part of a range are not kept.
-- $1 since, $2 until (excluded)
-- Returns one row (boolean).
SELECT $1::timestamptz < results_kept_since() AND $2::timestamptz > results_kept_since();
