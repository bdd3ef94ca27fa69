-- 8: job testers with keys of their own, and whose each result is; docs/decisions/0010-who-may-post.md.
-- squawk-ignore-file prefer-bigint-over-int -- there are few testers

-- A revoked tester stays, without its key: its results name it. `key` is what signatures are checked with, as it is.
-- `regions`: codes of those it may post from; null: any.
CREATE TABLE testers (
    id         integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text NOT NULL,
    key        text,
    regions    text[],
    added_at   timestamptz NOT NULL DEFAULT current_timestamp,
    revoked_at timestamptz
);
CREATE UNIQUE INDEX idx_testers_name ON testers (name) WHERE revoked_at IS NULL;

-- Null: signed with the secret that testers share, or written by another program. No foreign key: it would cost
-- every result a check, and nobody deletes testers.
ALTER TABLE events ADD COLUMN tester_id integer;
