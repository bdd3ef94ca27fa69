-- SQLite: what results are kept in while the database is away, until they are stored in it. Returns nothing.
-- `number` is the order they came in; `received_at` microseconds since 1970; `id` the one in `events`, once it was
-- chosen; `tester_id` who sent it, null when that is not known; `reason` why it was put aside, null for one that waits.
CREATE TABLE spooled (
    number       INTEGER PRIMARY KEY AUTOINCREMENT,
    received_at  INTEGER NOT NULL,
    id           INTEGER,
    region       TEXT NOT NULL,
    job_type     TEXT NOT NULL,
    orchestrator TEXT NOT NULL,
    payload      BLOB NOT NULL,
    key          TEXT,
    body_digest  BLOB,
    tester_id    INTEGER,
    reason       TEXT
);
CREATE UNIQUE INDEX spooled_key ON spooled (key) WHERE key IS NOT NULL;
CREATE INDEX spooled_waiting ON spooled (number, received_at) WHERE reason IS NULL;
CREATE INDEX spooled_aside ON spooled (number) WHERE reason IS NOT NULL;
