-- Ends the copy of a time range.
-- $1 mirror id, $2 since, $3 until (Unix seconds), $4 true: the range is complete, later runs skip it
-- Returns nothing.
UPDATE mirrors
SET span = NULL, position = NULL,
    covered = CASE
        WHEN $4::boolean THEN covered + tstzmultirange(tstzrange(to_timestamp($2::bigint), to_timestamp($3::bigint)))
        ELSE covered
    END
WHERE id = $1;
