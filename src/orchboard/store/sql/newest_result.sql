-- When the newest result was received.
-- Returns one row (event_time), null without results.
SELECT max(event_time) AS event_time FROM events;
