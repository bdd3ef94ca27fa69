-- 13: which results were copied from another leaderboard's API, and how far each copy is; docs/moving.md.
-- squawk-ignore-file prefer-bigint-over-int -- there are few

-- `covered`: receipt times that need not be asked for again. `span`: what is being copied; `position`: the last
-- orchestrator and job type of it that is stored.
CREATE TABLE mirrors (
    id       integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    url      text NOT NULL UNIQUE,
    added_at timestamptz NOT NULL DEFAULT current_timestamp,
    covered  tstzmultirange NOT NULL DEFAULT '{}',
    span     tstzrange,
    position text
);

-- Not null: copied from that server. The API does not return receipt times, so `event_time` is the tester's timestamp,
-- moved into the span of time that the result was found in. No foreign key, as with testers.
ALTER TABLE events ADD COLUMN ob_mirror_id integer;
