-- Notes how far the copy of a span is.
-- $1 mirror id, $2 since, $3 until (Unix seconds), $4 the last orchestrator and job type that is stored
UPDATE mirrors SET span = tstzrange(to_timestamp($2::bigint), to_timestamp($3::bigint)), position = $4 WHERE id = $1;
