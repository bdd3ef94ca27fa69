-- The receipt time of the first result in a range, of any orchestrator.
-- $1 since, $2 until (excluded)
-- Returns event_time; no row if there is none.
SELECT event_time FROM result_details WHERE event_time >= $1 AND event_time < $2 ORDER BY event_time LIMIT 1;
