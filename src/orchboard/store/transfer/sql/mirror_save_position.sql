-- Saves the position of the copy in a time range.
-- $1 mirror id, $2 since, $3 until (Unix seconds), $4 the last orchestrator and job type that is stored
-- Returns nothing.
UPDATE mirrors SET span = tstzrange(to_timestamp($2::bigint), to_timestamp($3::bigint)), position = $4 WHERE id = $1;
