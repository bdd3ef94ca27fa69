-- Gives a region another display name, for every job type it is known for.
-- $1 region (upper case), $2 display name
-- Returns a row (id) for each one renamed; none when the region is unknown.
UPDATE regions SET display_name = $2::varchar WHERE name = $1::varchar
RETURNING id;
