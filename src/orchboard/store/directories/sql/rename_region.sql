-- Changes the display name of a region, for all its job types.
-- $1 region (upper case), $2 display name
-- Returns one row (id) per changed region. Empty: the region does not exist.
UPDATE regions SET display_name = $2::varchar WHERE name = $1::varchar
RETURNING id;
