-- When the newest result was received; one that a clock ahead of the database's has written does not count.
-- Returns one row (event_time), null without results.
SELECT event_time FROM (SELECT event_time FROM results WHERE event_time <= now() ORDER BY event_time DESC LIMIT 1) newest
RIGHT JOIN (SELECT) one_row ON true;
