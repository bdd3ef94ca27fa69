-- 18: names of orchestrators, which pages show beside their addresses; docs/cli.md, `orchestrator`.

-- `orchestrator`: as in `events`, in lower case. `source`: 'operator', set by a command; 'url', a copy from NAMES_URL.
-- No foreign key: a name may be set before the first result.
CREATE TABLE orchestrator_names (
    orchestrator varchar(56) PRIMARY KEY CHECK (orchestrator = lower(orchestrator)),
    name         text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 64),
    source       text NOT NULL CHECK (source IN ('operator', 'url')),
    updated_at   timestamptz NOT NULL DEFAULT current_timestamp
);
