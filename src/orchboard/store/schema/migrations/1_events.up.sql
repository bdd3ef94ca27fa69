-- 1: one table of results for all regions, and what a result refers to.
-- Names, types and order are the reference server's: both servers run on them.

CREATE TABLE job_types (
    id   serial PRIMARY KEY,
    name varchar(56) NOT NULL UNIQUE
);

CREATE TABLE regions (
    id           serial PRIMARY KEY,
    name         varchar(56) NOT NULL,
    display_name varchar(128) NOT NULL,
    job_type_id  integer REFERENCES job_types (id),
    CONSTRAINT unique_name_jobtype UNIQUE (name, job_type_id)
);

CREATE TABLE events (
    id           serial PRIMARY KEY,
    event_time   timestamptz NOT NULL DEFAULT current_timestamp,
    orchestrator varchar(56) NOT NULL,
    region_id    integer REFERENCES regions (id),
    payload      jsonb NOT NULL
);

CREATE INDEX idx_events_region_id ON events (region_id);
CREATE INDEX idx_events_orchestrator ON events (orchestrator);
CREATE INDEX idx_events_timestamp ON events (event_time);
CREATE INDEX idx_events_payload_pipeline ON events ((payload ->> 'pipeline'));
CREATE INDEX idx_events_payload_model ON events ((payload ->> 'model'));

CREATE VIEW event_details AS
SELECT
    regions.name AS region_name,
    job_types.name AS job_type_name,
    events.id,
    events.event_time,
    CAST(events.payload ->> 'success_rate' AS double precision) AS success_rate,
    CAST(events.payload ->> 'seg_duration' AS double precision) AS seg_duration,
    CAST(events.payload ->> 'round_trip_time' AS double precision) AS round_trip_time,
    events.orchestrator,
    events.payload
FROM events
INNER JOIN regions ON events.region_id = regions.id
INNER JOIN job_types ON regions.job_type_id = job_types.id;
