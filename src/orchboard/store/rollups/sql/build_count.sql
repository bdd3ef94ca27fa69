-- Stores the number of all results of a bucket, scored or not; for the part of it whose results are not kept, the number in the
-- shorter buckets there. Returns one row (results).
-- $1 granularity, $2 start, $3 end
UPDATE rollup_buckets
SET results = (
    SELECT count(*)
    FROM results e
    WHERE e.event_time >= $2 AND e.event_time < $3 AND e.event_time >= ({include kept_since})
) + (
    SELECT coalesce(sum(p.results), 0)
    FROM rollup_buckets p
    WHERE p.granularity = $1::smallint - 1 AND p.bucket_start >= $2 AND p.bucket_end <= least($3, results_kept_since())
)
WHERE granularity = $1 AND bucket_start = $2
RETURNING results;
