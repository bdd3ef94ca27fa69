-- When the newest result was received.
-- Returns one row (event_time), null without results.
SELECT event_time FROM (SELECT event_time FROM results ORDER BY event_time DESC LIMIT 1) newest
RIGHT JOIN (SELECT) one_row ON true;
