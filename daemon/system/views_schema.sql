-- views.db: what the ledger says, laid out for people. A cache: delete it and it is built again from the ledger.
-- Amounts, prices and quantities are whole numbers in units of 1e-8; times (ts) are nanoseconds since 1970, UTC.

-- One row: which ledger this was read from, how far, and under which boot of the machine it was last written (after a
-- power cut unsynced pages may be missing, so a file that was not closed in this boot is built anew).
CREATE TABLE meta (
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    generation TEXT    NOT NULL,
    seq        INTEGER NOT NULL CHECK (seq >= 0),
    ts         INTEGER NOT NULL,
    hash       BLOB    NOT NULL,
    boot       TEXT    NOT NULL
) STRICT;

-- Every event but equity marks (those are portfolio_snapshots); data is JSON where an order's life needs more than a word.
CREATE TABLE events (
    seq       INTEGER NOT NULL,
    n         INTEGER NOT NULL,
    ts        INTEGER NOT NULL,
    type      TEXT    NOT NULL,
    symbol    TEXT,
    portfolio TEXT,
    ref       TEXT,   -- client order id
    data      TEXT,
    PRIMARY KEY (seq, n)
) STRICT, WITHOUT ROWID;
CREATE INDEX events_ref ON events (ref, seq, n) WHERE ref IS NOT NULL;

CREATE TABLE postings (
    seq       INTEGER NOT NULL,
    ts        INTEGER NOT NULL,
    portfolio TEXT    NOT NULL,
    account   TEXT    NOT NULL,
    amount    INTEGER NOT NULL,  -- debit positive
    exec_id   TEXT               -- of the fill, NULL where nothing was traded
) STRICT;

-- n numbers orders in the order in which they first appeared; dup is 1 for a resend that was refused under a used id.
CREATE TABLE orders (
    n               INTEGER PRIMARY KEY,
    seq             INTEGER NOT NULL,  -- of the frame in which it appeared
    changed         INTEGER NOT NULL,  -- of the last frame that changed it
    order_id        TEXT    NOT NULL,
    client_order_id TEXT    NOT NULL,
    ts              INTEGER NOT NULL,
    portfolio       TEXT    NOT NULL,
    symbol          TEXT    NOT NULL,
    side            INTEGER NOT NULL,
    type            TEXT    NOT NULL,
    tif             TEXT    NOT NULL,
    qty             INTEGER NOT NULL,
    limit_px        INTEGER,
    stop_px         INTEGER,
    status          TEXT    NOT NULL,
    cum_qty         INTEGER NOT NULL,
    avg_px          INTEGER,
    reason          TEXT    NOT NULL,
    strategy        TEXT    NOT NULL,
    parent_id       TEXT    NOT NULL,
    decision        INTEGER NOT NULL,
    confidence      REAL,
    lot_id          TEXT    NOT NULL,
    purpose         TEXT    NOT NULL,  -- why it was sent
    reserved        INTEGER,
    open            INTEGER NOT NULL,
    dup             INTEGER NOT NULL,
    oco_group       TEXT    NOT NULL,
    terms           TEXT              -- JSON of what it says beyond these columns, NULL for nothing
) STRICT;
CREATE UNIQUE INDEX orders_client ON orders (client_order_id) WHERE dup = 0;
CREATE INDEX orders_id ON orders (order_id) WHERE order_id <> '';
CREATE INDEX orders_open ON orders (n) WHERE open = 1;
CREATE INDEX orders_symbol ON orders (symbol, n);
CREATE INDEX orders_portfolio ON orders (portfolio, n);
CREATE INDEX orders_strategy ON orders (strategy, n) WHERE strategy <> '';
CREATE INDEX orders_parent ON orders (parent_id) WHERE parent_id <> '';
CREATE INDEX orders_oco ON orders (oco_group) WHERE oco_group <> '';
CREATE INDEX orders_ts ON orders (ts);

CREATE TABLE fills (
    n               INTEGER PRIMARY KEY,
    seq             INTEGER NOT NULL,
    ts              INTEGER NOT NULL,
    order_id        TEXT    NOT NULL,
    client_order_id TEXT    NOT NULL,
    exec_id         TEXT    NOT NULL,
    portfolio       TEXT    NOT NULL,
    symbol          TEXT    NOT NULL,
    side            INTEGER NOT NULL,
    qty             INTEGER NOT NULL,
    price           INTEGER NOT NULL,
    ref_px          INTEGER NOT NULL,
    px_source       TEXT    NOT NULL,
    liquidity       TEXT    NOT NULL,
    commission      INTEGER NOT NULL,
    regulatory      INTEGER NOT NULL,
    spread          INTEGER NOT NULL,
    slippage        INTEGER NOT NULL,
    impact          INTEGER NOT NULL,
    strategy        TEXT    NOT NULL,
    position        INTEGER,  -- after it
    cash            INTEGER,  -- of the portfolio after it
    realized        INTEGER   -- by it, at average cost, before fees
) STRICT;
CREATE INDEX fills_symbol ON fills (symbol, n);
CREATE INDEX fills_portfolio ON fills (portfolio, n);
CREATE INDEX fills_exec ON fills (exec_id);
CREATE INDEX fills_client ON fills (client_order_id, n);
CREATE INDEX fills_strategy ON fills (strategy, n) WHERE strategy <> '';
CREATE INDEX fills_ts ON fills (ts);

CREATE TABLE trades (
    n                INTEGER PRIMARY KEY,
    seq              INTEGER NOT NULL,
    portfolio        TEXT    NOT NULL,
    symbol           TEXT    NOT NULL,
    side             INTEGER NOT NULL,
    qty              INTEGER NOT NULL,
    entry_ts         INTEGER NOT NULL,
    entry_px         INTEGER NOT NULL,
    exit_ts          INTEGER NOT NULL,
    exit_px          INTEGER NOT NULL,
    fees             INTEGER NOT NULL,
    pnl              INTEGER NOT NULL,
    ret              REAL,
    mae              REAL,
    mfe              REAL,
    entry_confidence REAL,
    exit_reason      TEXT    NOT NULL,
    strategy         TEXT    NOT NULL,
    entry_exec_id    TEXT    NOT NULL,  -- the lot: the fill that opened it
    exit_exec_id     TEXT               -- the fill that closed it
) STRICT;
CREATE INDEX trades_symbol ON trades (symbol, n);
CREATE INDEX trades_portfolio ON trades (portfolio, n);
CREATE INDEX trades_strategy ON trades (strategy, n) WHERE strategy <> '';
CREATE INDEX trades_entry ON trades (entry_exec_id);
CREATE INDEX trades_exit ON trades (exit_exec_id);
CREATE INDEX trades_ts ON trades (exit_ts);

CREATE TABLE positions (
    portfolio TEXT    NOT NULL,
    symbol    TEXT    NOT NULL,
    symbol_id INTEGER NOT NULL,
    qty       INTEGER NOT NULL,
    cost      INTEGER NOT NULL,
    realized  INTEGER NOT NULL,
    last_px   INTEGER NOT NULL,  -- of its last fill
    ts        INTEGER NOT NULL,
    PRIMARY KEY (portfolio, symbol)
) STRICT, WITHOUT ROWID;

-- Equity: the last mark of each minute, and every session's close (session is then its date, else 0).
CREATE TABLE portfolio_snapshots (
    portfolio TEXT    NOT NULL,
    session   INTEGER NOT NULL,
    minute    INTEGER NOT NULL,
    ts        INTEGER NOT NULL,
    equity    INTEGER NOT NULL,
    cash      INTEGER NOT NULL,
    gross     INTEGER NOT NULL,
    net       INTEGER NOT NULL,
    PRIMARY KEY (portfolio, session, minute)
) STRICT, WITHOUT ROWID;

-- One row per portfolio and session, at its close.
CREATE TABLE performance_metrics (
    portfolio    TEXT    NOT NULL,
    session      INTEGER NOT NULL,
    ts           INTEGER NOT NULL,
    equity       INTEGER NOT NULL,
    flows        INTEGER NOT NULL,
    pnl          INTEGER NOT NULL,
    daily_return REAL,
    drawdown     REAL,
    peak         INTEGER NOT NULL,
    PRIMARY KEY (portfolio, session)
) STRICT, WITHOUT ROWID;

-- What strategies said, one row per decision and horizon. cells is JSON, one entry per symbol:
-- [symbol, score, confidence, p_up, price, expected_bps, reason]; scores: {symbol: [realized, realized_tradable]}.
CREATE TABLE decisions (
    n        INTEGER PRIMARY KEY,
    seq      INTEGER NOT NULL,
    ts       INTEGER NOT NULL,
    strategy TEXT    NOT NULL,
    decision INTEGER NOT NULL,
    horizon  TEXT    NOT NULL,
    model    TEXT    NOT NULL,
    cells    TEXT    NOT NULL
) STRICT;
CREATE INDEX decisions_of ON decisions (strategy, decision);
CREATE INDEX decisions_ts ON decisions (ts);
CREATE TABLE scored (
    strategy TEXT    NOT NULL,
    decision INTEGER NOT NULL,
    horizon  TEXT    NOT NULL,
    seq      INTEGER NOT NULL,
    scores   TEXT    NOT NULL,
    PRIMARY KEY (strategy, decision, horizon)
) STRICT, WITHOUT ROWID;
CREATE TABLE targets (
    portfolio TEXT    NOT NULL,
    strategy  TEXT    NOT NULL,
    decision  INTEGER NOT NULL,
    seq       INTEGER NOT NULL,
    ts        INTEGER NOT NULL,
    reason    TEXT    NOT NULL,
    cut_buy   INTEGER NOT NULL,
    cut_sell  INTEGER NOT NULL,
    weights   TEXT    NOT NULL,  -- JSON {symbol: weight}
    smaller   TEXT    NOT NULL,  -- JSON {symbol: [part cut by correlation, part of the rest cut by heat]}
    PRIMARY KEY (portfolio, strategy, decision)
) STRICT, WITHOUT ROWID;

CREATE VIEW signals AS
SELECT d.seq, d.ts, d.strategy, d.decision, json_extract(c.value, '$[0]') AS symbol,
       json_extract(c.value, '$[1]') AS score, json_extract(c.value, '$[2]') AS confidence,
       json_extract(c.value, '$[3]') AS p_up, d.horizon, json_extract(c.value, '$[6]') AS reason
FROM decisions d, json_each(d.cells) c;
CREATE VIEW predictions AS
SELECT d.seq, d.ts, json_extract(c.value, '$[0]') AS symbol, d.model, d.horizon,
       CASE sign(json_extract(c.value, '$[1]')) WHEN 1 THEN 'BUY' WHEN -1 THEN 'SELL' ELSE 'HOLD' END AS prediction,
       json_extract(c.value, '$[1]') AS score, json_extract(c.value, '$[2]') AS confidence,
       json_extract(c.value, '$[3]') AS p_up, json_extract(c.value, '$[4]') AS price,
       json_extract(s.scores, '$."' || json_extract(c.value, '$[0]') || '"[0]') AS realized,
       json_extract(s.scores, '$."' || json_extract(c.value, '$[0]') || '"[1]') AS realized_tradable
FROM decisions d, json_each(d.cells) c
LEFT JOIN scored s ON s.strategy = d.strategy AND s.decision = d.decision AND s.horizon = d.horizon;

CREATE TABLE alerts (
    n            INTEGER PRIMARY KEY,
    alert_id     TEXT    NOT NULL UNIQUE,
    ts           INTEGER NOT NULL,
    severity     TEXT    NOT NULL,
    key          TEXT    NOT NULL,
    title        TEXT    NOT NULL,
    facts        TEXT    NOT NULL,  -- JSON [[name, value], ...]
    action_taken TEXT    NOT NULL,
    next_command TEXT    NOT NULL,
    count        INTEGER NOT NULL,
    state        TEXT    NOT NULL,
    attempts     INTEGER NOT NULL
) STRICT;
CREATE INDEX alerts_pending ON alerts (alert_id) WHERE state = 'pending';
CREATE TABLE alert_acks (
    alert_id TEXT    PRIMARY KEY,
    ts       INTEGER NOT NULL,
    by       TEXT    NOT NULL,
    reason   TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE quarantine (
    n         INTEGER PRIMARY KEY,  -- its number in the ledger
    seq       INTEGER NOT NULL,
    ts        INTEGER NOT NULL,
    actor     TEXT    NOT NULL,
    input     TEXT    NOT NULL,
    error     TEXT    NOT NULL,
    traceback TEXT    NOT NULL
) STRICT;
