-- Whether the shorter spans in a span hold all of its results: then it can be summed up from them.
-- $1 level of the shorter ones, $2 start, $3 end
-- Returns one row: is_whole.
SELECT
    NOT EXISTS (
        SELECT FROM spans WHERE level = $1 AND span_start >= $2 AND span_start < $3 AND NOT is_sealed
    )
    AND (
        SELECT coalesce(sum(results), 0) FROM spans WHERE level = $1 AND span_start >= $2 AND span_start < $3
    ) = (SELECT count(*) FROM results WHERE event_time >= $2 AND event_time < $3) AS is_whole;
