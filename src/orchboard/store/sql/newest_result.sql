-- The receipt time of the newest result that is not in the future.
-- Returns one row (event_time); null without results.
SELECT event_time FROM (SELECT event_time FROM results WHERE event_time <= now() ORDER BY event_time DESC LIMIT 1) newest
RIGHT JOIN (SELECT) one_row ON true;
