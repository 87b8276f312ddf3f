"""Signals, targets, positions, cash and equity."""

from __future__ import annotations

from daemon.kernel.message import Command, Event


class DecisionDue(Command, tag=30, frozen=True):
    """It is time for a strategy to decide (a timer)."""

    strategy: str


class SignalsReady(Event, tag=31, frozen=True):
    """What a strategy thinks, for every symbol in which it did not abstain. Also the record of its predictions.

    Attributes:
        strategy: registered name.
        decision: number of this decision in the run, from 1 per strategy.
        horizon: ``30m``, ``1d`` ...
        ids: int32 column of symbol ids.
        score: float64 column in [-1, 1].
        confidence: float64 column in [0, 1].
        p_up: float64 column in [0, 1], NaN where not given; b"" when none is.
        price: int64 column, last known price at the decision in units of 1e-8.
        expected_bps: float64 column, NaN where not given; b"" when none is.
        model: what predicted: the strategy's name, or ``name@version`` of the model behind it.
        reasons: one text per symbol, or () when none is given.
        buy_and_hold: the strategy asks to be exempt from automatic exits (``semantics.md`` section 4).
    """

    strategy: str
    decision: int
    horizon: str
    ids: bytes
    score: bytes
    confidence: bytes
    p_up: bytes
    price: bytes
    expected_bps: bytes = b""
    model: str = ""
    reasons: tuple[str, ...] = ()
    buy_and_hold: bool = False


class TargetsProposed(Event, tag=32, frozen=True):
    """Weights a portfolio wants to hold on account of signals.

    Attributes:
        ids, weights: int32 and float64 columns; a held symbol that is not there has target 0.
        cut_buy, cut_sell: signals cut by the confidence gates.
        reason: ``signal``, ``schedule`` or ``drift``.
        abstained: int32 column of wanted names left as they are for want of data (inverse volatility).
        cut_ids: int32 column of names whose size was cut; their weights are those after it.
        cut_correlation: float64 column, the part of their size cut because they are like what is held.
        cut_heat: float64 column, the part of what that left cut because too much would be at risk to stops.
    """

    portfolio: str
    strategy: str
    decision: int
    ids: bytes
    weights: bytes
    cut_buy: int
    cut_sell: int
    reason: str
    abstained: bytes = b""
    cut_ids: bytes = b""
    cut_correlation: bytes = b""
    cut_heat: bytes = b""


class EntriesCut(Event, tag=131, frozen=True):
    """Entries that found less room than they wanted under the gate's limits; said before the targets they belong to.

    Attributes:
        ids: int32 column of their symbols.
        parts: float64 column, the part of the position aimed at that was cut; the weights proposed are those after it.
        limits: the limit that left no more, by its key in ``[risk]``.
    """

    portfolio: str
    strategy: str
    decision: int
    ids: bytes
    parts: bytes
    limits: tuple[str, ...]


class PositionChanged(Event, tag=33, frozen=True):
    """A fill was booked.

    Attributes:
        qty: position after the fill, negative for short.
        cost: total cost of the position after it at average cost, without fees; negative for short.
        realized: profit realised by this fill at average cost, before fees.
        realized_fifo: the same by the lots it closed.
        cash: cash of the portfolio after it.
        opened: (lot_id, qty) of the lot it opened, or None; qty signed.
        closed: (lot_id, qty) of lots it closed or cut, in order; qty without sign.
        postings: (account, amount) pairs that sum to zero; debit positive. Accounts: ``actors/portfolio/ledger.py``.
        ts: stamp of the booking, the entry time of the lot it opened.
        px, px_source: of the fill.
        opened_fees: the part of the fill's commission and regulatory fees that falls on the lot it opened.
        strategy, confidence, exempt: of the order, kept by the lot it opened.
    """

    portfolio: str
    exec_id: str
    symbol: int
    qty: int
    cost: int
    realized: int
    realized_fifo: int
    cash: int
    opened: tuple[str, int] | None
    closed: tuple[tuple[str, int], ...]
    postings: tuple[tuple[str, int], ...]
    ts: int = 0
    px: int = 0
    px_source: str = ""
    opened_fees: int = 0
    strategy: str = ""
    confidence: float | None = None
    exempt: bool = False


class TradeClosed(Event, tag=34, frozen=True):
    """A round trip (FIFO): part or all of a lot was closed.

    Attributes:
        side: +1 long, -1 short.
        fees: commission and regulatory fees of both sides that fall on ``qty``.
        pnl: net of those fees.
        ret: pnl over the entry value, a fraction rounded to 9 digits.
        mae, mfe: worst and best return seen between entry and exit on known prices, fractions.
        exit_reason: ``signal``, ``rebalance``, ``stop_loss``, ``take_profit``, ``flatten``, ``script``, ...
    """

    portfolio: str
    lot_id: str
    symbol: int
    side: int
    qty: int
    entry_ts: int
    entry_px: int
    exit_ts: int
    exit_px: int
    fees: int
    pnl: int
    ret: float
    mae: float
    mfe: float
    entry_confidence: float | None
    exit_reason: str
    strategy: str


class CashFlowed(Event, tag=35, frozen=True):
    """Cash came from or went to the outside; returns are computed net of it.

    Attributes:
        equity: equity just before the flow at last known prices, which time-weighting needs.
    """

    portfolio: str
    amount: int
    reason: str
    cash: int
    postings: tuple[tuple[str, int], ...]
    equity: int = 0


class EquityMarked(Event, tag=36, frozen=True):
    """Equity at the last known prices, each minute or daily bar.

    gross = sum of absolute position values, net = their signed sum; accrued = dividends due and not paid yet, owed ones
    negative; equity = cash + net + accrued.
    """

    portfolio: str
    equity: int
    cash: int
    gross: int
    net: int
    accrued: int = 0


class SessionRolled(Event, tag=37, frozen=True):
    """A session ended: its closing equity is the next session's baseline.

    Attributes:
        session: exchange date YYYYMMDD that ended.
        flows: external cash flows since the last roll.
        peak: highest session-close equity so far, net of flows; a new peak includes this close.
        drawdown: equity / peak - 1, rounded to 9 digits.
        accrued: dividends due and not paid yet, part of the equity.
    """

    portfolio: str
    session: int
    equity: int
    cash: int
    gross: int
    net: int
    flows: int
    peak: int
    drawdown: float
    accrued: int = 0


class DepositCash(Command, tag=38, frozen=True):
    """Put cash in (``amount`` > 0) or take it out (< 0); an external flow."""

    portfolio: str
    amount: int
    reason: str


class ClosePositions(Command, tag=39, frozen=True):
    """Close every position of a portfolio ("": of all) by reduce-only market orders; ``symbol`` -1 means all.

    With ``until_flat`` the portfolio goes on closing what is left or comes in late, until trading leaves the halt.
    """

    portfolio: str
    reason: str
    symbol: int = -1
    until_flat: bool = False


class FlattenStarted(Event, tag=120, frozen=True):
    """A portfolio closes its positions and goes on until it is flat, gives up, or trading leaves the halt."""

    portfolio: str
    reason: str


class FlattenEnded(Event, tag=121, frozen=True):
    """A portfolio that was to be flattened is flat, or gives up on the symbols ``left`` after so many orders."""

    portfolio: str
    flat: bool
    left: tuple[int, ...] = ()


class PositionAdjusted(Event, tag=122, frozen=True):
    """A corporate action changed a position without a trade: the complete position and its lots from now on.

    Attributes:
        symbol: before the action.
        kind: ``split``, ``rename`` or ``delist``.
        new_symbol: after it; the same but for a rename.
        qty, cost: of the position under ``new_symbol``, as in :class:`PositionChanged`.
        realized, realized_fifo: profit this realised (cash for a fraction of a share, or for delisted ones).
        cash: of the portfolio after it.
        lots: (lot_id, signed quantity, entry price, signed cost, entry fees) of every lot left, oldest first.
        postings: (account, amount), summing to zero.
        numerator, denominator: of a split: new shares per old.
        px: what a fraction or a delisted share was paid at, units of 1e-8, 0 where nothing was.
        paid: cash that came in for it, negative where a short had to pay.
        closed: (lot_id, qty) of what was paid out, as in :class:`PositionChanged`; quantities in new shares.
    """

    portfolio: str
    symbol: int
    kind: str
    new_symbol: int
    qty: int
    cost: int
    realized: int
    realized_fifo: int
    cash: int
    lots: tuple[tuple[str, int, int, int, int], ...]
    postings: tuple[tuple[str, int], ...]
    numerator: int = 1
    denominator: int = 1
    px: int = 0
    paid: int = 0
    closed: tuple[tuple[str, int], ...] = ()


class DividendAccrued(Event, tag=123, frozen=True):
    """A position held at the prior close is owed a dividend, or owes it (short: ``amount`` negative).

    Attributes:
        qty: signed, of the prior close.
        per_share: cash per share, units of 1e-8.
        amount: qty x per_share, half to even at 1e-8.
        ex_date, pay_date: YYYYMMDD; it is paid at the opening of the first session from ``pay_date`` on.
    """

    portfolio: str
    symbol: int
    qty: int
    per_share: int
    amount: int
    ex_date: int
    pay_date: int
    postings: tuple[tuple[str, int], ...]


class DividendPaid(Event, tag=124, frozen=True):
    """A dividend that was due became cash; ``cash`` is the portfolio's after it."""

    portfolio: str
    symbol: int
    amount: int
    ex_date: int
    cash: int
    postings: tuple[tuple[str, int], ...]


class FinancingCharged(Event, tag=125, frozen=True):
    """Borrow fees on a short position, or interest on a debit balance, from one session's date to the next (act/360).

    Attributes:
        kind: ``borrow`` or ``interest``.
        symbol: of the short position, -1 for interest.
        session: exchange date YYYYMMDD at whose opening it was charged.
        days: calendar days since the session before.
        base: value of the shares borrowed at their last price, or the debit balance; positive.
        rate: annual, units of 1e-8.
        amount: base x rate x days / 360, half to even at 1e-8; cash goes down by it.
        cash: of the portfolio after it.
    """

    portfolio: str
    kind: str
    symbol: int
    session: int
    days: int
    base: int
    rate: int
    amount: int
    cash: int
    postings: tuple[tuple[str, int], ...]


class CutPositions(Command, tag=126, frozen=True):
    """Close a part of every position of a portfolio ("": of all) by reduce-only market orders; whole lots stay.

    ``fraction`` in units of 1e-8; what working market orders close already counts. ``settled``: what was sent before it
    in the same decision works by now; the portfolio sees to that itself.
    """

    portfolio: str
    fraction: int
    reason: str
    settled: bool = False
