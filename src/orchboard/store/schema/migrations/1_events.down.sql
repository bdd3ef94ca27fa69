-- Takes back 1. All results go with it.

DROP VIEW event_details;
DROP TABLE events;
DROP TABLE regions;
DROP TABLE job_types;
