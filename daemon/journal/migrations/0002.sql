-- Version 2: several runs in one ledger; frames that know their count and the tape; snapshots, replies, outbox.
-- STRICT and two-sided CHECKs refuse what a loose column would swallow.
ALTER TABLE run RENAME TO run_1;
ALTER TABLE frame RENAME TO frame_1;
ALTER TABLE quarantine RENAME TO quarantine_1;

-- One row: which ledger this is, and how often its WAL was folded in. Beside the file stands the same (see head.py), so
-- that a main file restored under a newer WAL is noticed. Empty in the ledger of a replay.
CREATE TABLE ledger (
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    generation BLOB    NOT NULL CHECK (length(generation) = 16),
    epoch      INTEGER NOT NULL CHECK (epoch BETWEEN 0 AND 4611686018427387904)
) STRICT;

-- One row per run, in order. A run's own row is bound into the chain of its frames, and the seal of its predecessor too.
CREATE TABLE run (
    id            INTEGER PRIMARY KEY CHECK (id BETWEEN 1 AND 1000000000),
    run_id        TEXT    NOT NULL UNIQUE CHECK (length(run_id) BETWEEN 1 AND 64),
    version       TEXT    NOT NULL CHECK (length(version) BETWEEN 1 AND 256),
    mode          TEXT    NOT NULL CHECK (mode IN ('replay', 'live', 'playback')),
    seed          INTEGER NOT NULL,
    config_digest TEXT    NOT NULL CHECK (length(config_digest) = 64),
    status        TEXT    NOT NULL CHECK (status IN ('running', 'ended', 'recovered', 'quarantined')),
    event_digest  TEXT    NOT NULL CHECK (length(event_digest) IN (0, 64)),
    frames        INTEGER NOT NULL CHECK (frames BETWEEN 0 AND 4611686018427387904),
    chain         BLOB    NOT NULL CHECK (length(chain) = 32),            -- its last row's hash once sealed
    chain_start   BLOB    NOT NULL CHECK (length(chain_start) IN (0, 32)),  -- 0: follows from the row
    parent        TEXT    CHECK (length(parent) BETWEEN 1 AND 64),        -- NULL in the first
    started       INTEGER CHECK (started BETWEEN 1 AND 9223372036854775806),  -- wall time; NULL in a replay
    first_seq     INTEGER NOT NULL CHECK (first_seq BETWEEN 1 AND 4611686018427387904),
    archived      TEXT    CHECK (length(archived) BETWEEN 1 AND 256),     -- where its frames went; NULL: they are here
    manifest      BLOB    NOT NULL CHECK (length(manifest) BETWEEN 2 AND 100000000)
) STRICT;

-- One row per input with all it caused: orders, fills, postings and cash of one instant stand or fall together.
-- ordinal counts the frames of a live ledger; the last frame of a commit says up to where the commit covers the tape.
CREATE TABLE frame (
    seq      INTEGER PRIMARY KEY CHECK (seq BETWEEN 1 AND 4611686018427387904),
    ts       INTEGER NOT NULL CHECK (ts BETWEEN -9223372036854775806 AND 9223372036854775806),
    ts_event INTEGER NOT NULL CHECK (ts_event BETWEEN -9223372036854775806 AND 9223372036854775806),
    source   TEXT    NOT NULL CHECK (length(source) BETWEEN 1 AND 64),
    input    BLOB    CHECK (length(input) BETWEEN 1 AND 100000000),
    n        INTEGER NOT NULL CHECK (n BETWEEN 0 AND 1000000),
    body     BLOB    NOT NULL CHECK (length(body) BETWEEN 1 AND 900000000),
    causes   BLOB    NOT NULL CHECK (length(causes) BETWEEN 0 AND 100000000),
    hash     BLOB    NOT NULL CHECK (length(hash) = 32),
    ordinal  INTEGER CHECK (ordinal BETWEEN 1 AND 4611686018427387904),
    tape_day INTEGER CHECK (tape_day BETWEEN 10000101 AND 99991231),
    tape_pos INTEGER CHECK (tape_pos BETWEEN 0 AND 4611686018427387904),
    tape_crc INTEGER CHECK (tape_crc BETWEEN 0 AND 4294967295),
    CHECK ((tape_day IS NULL) = (tape_pos IS NULL) AND (tape_day IS NULL) = (tape_crc IS NULL)),
    CHECK (tape_day IS NULL OR ordinal IS NOT NULL)
) STRICT;

-- The whole state behind a frame, a cache of both folds: the newest three are kept.
CREATE TABLE snapshot (
    seq          INTEGER PRIMARY KEY CHECK (seq BETWEEN 1 AND 4611686018427387904),
    ts           INTEGER NOT NULL CHECK (ts BETWEEN -9223372036854775806 AND 9223372036854775806),
    event_digest BLOB    NOT NULL CHECK (length(event_digest) = 32),
    core         BLOB    NOT NULL CHECK (length(core) BETWEEN 1 AND 900000000),
    edge         BLOB    NOT NULL CHECK (length(edge) BETWEEN 0 AND 900000000),
    digest       BLOB    NOT NULL CHECK (length(digest) = 32)
) STRICT;

-- What a client was told under its key, so that asking again gives the same answer and no second order.
CREATE TABLE idempotency (
    key    TEXT    PRIMARY KEY CHECK (length(key) BETWEEN 1 AND 300),
    method TEXT    NOT NULL CHECK (length(method) BETWEEN 1 AND 64),
    params TEXT    NOT NULL CHECK (length(params) = 64),
    reply  BLOB    NOT NULL CHECK (length(reply) BETWEEN 1 AND 10000000),
    seq    INTEGER NOT NULL CHECK (seq BETWEEN 0 AND 4611686018427387904),
    ts     INTEGER NOT NULL CHECK (ts BETWEEN -9223372036854775806 AND 9223372036854775806),
    digest BLOB    NOT NULL CHECK (length(digest) = 32)
) STRICT;

-- Alerts on their way out, in their newest form.
CREATE TABLE outbox (
    alert_id TEXT    PRIMARY KEY CHECK (length(alert_id) BETWEEN 1 AND 200),
    ts       INTEGER NOT NULL CHECK (ts BETWEEN -9223372036854775806 AND 9223372036854775806),
    severity TEXT    NOT NULL CHECK (severity IN ('info', 'warning', 'critical')),
    body     BLOB    NOT NULL CHECK (length(body) BETWEEN 1 AND 10000000),
    state    TEXT    NOT NULL CHECK (state IN ('pending', 'delivered', 'dropped')),
    attempts INTEGER NOT NULL CHECK (attempts BETWEEN 0 AND 1000000000)
) STRICT;

CREATE INDEX outbox_pending ON outbox (ts) WHERE state = 'pending';

-- Inputs that made a handler fail, with the traceback, for people. After a rebuild a seq may come again, so it is no key.
CREATE TABLE quarantine (
    id        INTEGER PRIMARY KEY CHECK (id BETWEEN 1 AND 4611686018427387904),
    seq       INTEGER NOT NULL CHECK (seq BETWEEN 1 AND 4611686018427387904),
    ts        INTEGER NOT NULL CHECK (ts BETWEEN -9223372036854775806 AND 9223372036854775806),
    actor     TEXT    NOT NULL CHECK (length(actor) BETWEEN 1 AND 64),
    input     TEXT    NOT NULL CHECK (length(input) BETWEEN 1 AND 200),
    body      BLOB    CHECK (length(body) BETWEEN 1 AND 100000000),      -- NULL for market data, which is on the tape
    error     TEXT    NOT NULL CHECK (length(error) BETWEEN 0 AND 100000000),
    traceback TEXT    NOT NULL CHECK (length(traceback) BETWEEN 0 AND 100000000)
) STRICT;

INSERT INTO run (id, run_id, version, mode, seed, config_digest, manifest, status, event_digest, frames, chain,
                 chain_start, first_seq)
    SELECT id, run_id, version, mode, seed, config_digest, manifest, status, event_digest, frames, chain, x'', 1
    FROM run_1;
INSERT INTO frame (seq, ts, ts_event, source, input, n, body, causes, hash)
    SELECT seq, ts, ts_event, source, input, n, body, causes, hash FROM frame_1;
INSERT INTO quarantine (seq, ts, actor, input, error, traceback)
    SELECT seq, ts, actor, input, error, traceback FROM quarantine_1;
DROP TABLE run_1;
DROP TABLE frame_1;
DROP TABLE quarantine_1;
