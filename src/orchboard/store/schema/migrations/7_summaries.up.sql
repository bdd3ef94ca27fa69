-- 7: what long windows are answered from. Receipt time only moves on, so a span of it that is over is
-- summed up once and kept; docs/decisions/0007-summaries.md.
-- squawk-ignore-file prefer-bigint-over-int, prefer-bigint-over-smallint -- levels, regions, series: small numbers

-- A span of receipt time, [span_start, span_end). `level` is its length: 0 a minute, 1 ten, 2 an hour,
-- 3 six hours, 4 a day, 5 a calendar month, all in UTC. Sealed: the tables below hold all of its results. One that
-- a late result was written into is not, until it is summed up again. One without results may have no row.
-- `revision` grows whenever a span is summed up or unsealed, so that servers know what they hold in memory of it.
CREATE SEQUENCE span_revisions;
CREATE TABLE spans (
    level      smallint NOT NULL,
    span_start timestamptz NOT NULL,
    span_end   timestamptz NOT NULL,
    is_sealed  boolean NOT NULL,
    results    bigint NOT NULL DEFAULT 0,
    revision   bigint NOT NULL DEFAULT nextval('span_revisions'),
    PRIMARY KEY (level, span_start)
);
CREATE INDEX idx_spans_unsealed ON spans (level, span_start) WHERE NOT is_sealed;

-- How far each level is summed up: every span within [sealed_since, sealed_until) was looked at.
-- The row is locked by whoever is at it.
CREATE TABLE sealing (
    level        smallint PRIMARY KEY,
    sealed_since timestamptz NOT NULL,
    sealed_until timestamptz NOT NULL
);

-- One orchestrator in one region; for AI with one pipeline and model, else with empty ones.
-- An integer stands for it in the arrays below. Rows are only ever added.
CREATE TABLE series (
    id           integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    orchestrator text NOT NULL,
    region_id    integer NOT NULL,
    pipeline     text NOT NULL,
    model        text NOT NULL,
    UNIQUE (orchestrator, region_id, pipeline, model)
);

-- Sums over the scored results of a span, by job type, pipeline and model: five arrays of the same length,
-- an element a series; integers of four bytes and doubles of eight, big-endian.
CREATE TABLE segments (
    level           smallint NOT NULL,
    span_start      timestamptz NOT NULL,
    job_type_id     integer NOT NULL,
    pipeline        text NOT NULL,
    model           text NOT NULL,
    series          bytea NOT NULL,
    results         bytea NOT NULL,
    success_rate    bytea NOT NULL,
    seg_duration    bytea NOT NULL,
    round_trip_time bytea NOT NULL,
    PRIMARY KEY (level, span_start, job_type_id, pipeline, model)
);

-- The round trips of a span's successes, which a median is taken from: sorted doubles, big-endian.
-- `buckets`, where there are many: how many fall into each bucket from `first_bucket` on, integers of four
-- bytes; a bucket is what doubles have in common that agree in sign, exponent and six bits (round_trip_bucket).
CREATE TABLE round_trips (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    level        smallint NOT NULL,
    span_start   timestamptz NOT NULL,
    pipeline     text NOT NULL,
    model        text NOT NULL,
    region_id    integer NOT NULL,
    first_bucket integer,
    buckets      bytea,
    round_trips  bytea NOT NULL,
    UNIQUE (level, span_start, pipeline, model, region_id)
);

-- Which pipelines and models were seen where.
CREATE TABLE pipelines_seen (
    level      smallint NOT NULL,
    span_start timestamptz NOT NULL,
    pipeline   text NOT NULL,
    model      text NOT NULL,
    region_id  integer NOT NULL,
    PRIMARY KEY (level, span_start, pipeline, model, region_id)
);

-- Doubles do not compress, and a part of a value that is not compressed can be read alone.
ALTER TABLE segments ALTER COLUMN series SET STORAGE EXTERNAL, ALTER COLUMN results SET STORAGE EXTERNAL,
    ALTER COLUMN success_rate SET STORAGE EXTERNAL, ALTER COLUMN seg_duration SET STORAGE EXTERNAL,
    ALTER COLUMN round_trip_time SET STORAGE EXTERNAL;
ALTER TABLE round_trips ALTER COLUMN buckets SET STORAGE EXTERNAL, ALTER COLUMN round_trips SET STORAGE EXTERNAL;

-- The bucket of a round trip, 0 to 1791: 64 to an octave from 2^-14 s to 2^14 s; what is outside is in
-- the first or the last. The same bits as store/rollups/exact_median.py takes.
CREATE FUNCTION round_trip_bucket(round_trip_time double precision) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN round_trip_time < 6.103515625e-05 THEN 0
    WHEN round_trip_time >= 16384 THEN 1791
    ELSE (get_byte(float8send(round_trip_time), 0) << 10)
        + (get_byte(float8send(round_trip_time), 1) << 2)
        + (get_byte(float8send(round_trip_time), 2) >> 6) - 64576
END;
