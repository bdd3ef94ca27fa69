-- SQLite: creates the table of submissions that wait for the database. Returns nothing.
-- `number` is the order of arrival; `received_at` microseconds since 1970; `id` the primary key in `events`, null until
-- assigned; `tester_id` the tester whose own key signed it; `reason` makes it a dead letter, null: it waits.
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
