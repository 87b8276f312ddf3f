-- Version 1 of the ledger. One row per input with all it caused: orders, fills, postings and cash of one
-- instant stand or fall together. STRICT and CHECKs refuse what a loose column would swallow.
CREATE TABLE run (
    id            INTEGER PRIMARY KEY CHECK (id = 1),
    run_id        TEXT    NOT NULL,
    version       TEXT    NOT NULL,
    mode          TEXT    NOT NULL CHECK (mode IN ('replay', 'live', 'playback')),
    seed          INTEGER NOT NULL,
    config_digest TEXT    NOT NULL CHECK (length(config_digest) = 64),
    manifest      BLOB    NOT NULL,
    status        TEXT    NOT NULL CHECK (status IN ('running', 'ended', 'recovered', 'quarantined')),
    event_digest  TEXT    NOT NULL CHECK (length(event_digest) IN (0, 64)),
    frames        INTEGER NOT NULL CHECK (frames >= 0),
    chain         BLOB    NOT NULL CHECK (length(chain) = 32)
) STRICT;

CREATE TABLE frame (
    seq      INTEGER PRIMARY KEY CHECK (seq > 0),
    ts       INTEGER NOT NULL,
    ts_event INTEGER NOT NULL,
    source   TEXT    NOT NULL CHECK (length(source) BETWEEN 1 AND 64),
    input    BLOB,
    n        INTEGER NOT NULL CHECK (n BETWEEN 0 AND 1000000),
    body     BLOB    NOT NULL,
    causes   BLOB    NOT NULL,
    hash     BLOB    NOT NULL CHECK (length(hash) = 32)
) STRICT;

CREATE TABLE quarantine (
    seq       INTEGER PRIMARY KEY CHECK (seq > 0),
    ts        INTEGER NOT NULL,
    actor     TEXT    NOT NULL,
    input     TEXT    NOT NULL,
    error     TEXT    NOT NULL,
    traceback TEXT    NOT NULL
) STRICT;
