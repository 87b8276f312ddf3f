"""Market data and the calendar, as the core sees them: one panel per instant, parallel arrays by symbol id."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from actors.values.session import Session
from daemon.kernel.message import Market

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
I32 = npt.NDArray[np.int32]


class BarPanel(Market, tag=10, frozen=True):
    """Every bar that closed at one instant.

    All arrays are read-only and have one entry per symbol in ``ids``.

    Attributes:
        ts: when the bars became known, i.e. their end; nanoseconds UTC.
        start_ts: when they started.
        session: exchange date YYYYMMDD.
        daily: whether this is a session bar.
        ids: symbol ids, ascending, without repeats.
        dense: whether ``ids`` is 0..N-1 of the whole universe, which spares fancy indexing.
        open, high, low, close: prices, finite and positive, low <= open, close <= high.
        close_fx: ``close`` in units of 1e-8.
        volume: shares; NaN where the source had null; None where the source has no such column.
        close_only: the source had closes only: open = high = low = close.
        vwap: volume-weighted average price, NaN where unknown, or None.
        bid_open, ask_open, bid_close, ask_close: quoted prices at the bar's ends, NaN where unknown, or None.
        revision: 0 for the first version of the instant, higher for latecomers.
    """

    start_ts: int
    session: int
    daily: bool
    ids: I32
    dense: bool
    open: F64
    high: F64
    low: F64
    close: F64
    close_fx: I64
    volume: F64 | None
    close_only: bool = False
    vwap: F64 | None = None
    bid_open: F64 | None = None
    ask_open: F64 | None = None
    bid_close: F64 | None = None
    ask_close: F64 | None = None
    revision: int = 0


class QuotePanel(Market, tag=11, frozen=True):
    """The best bid and offer of every symbol that changed at one instant; sizes in shares."""

    ids: I32
    bid_px: F64
    bid_size: F64
    ask_px: F64
    ask_size: F64


class TradePanel(Market, tag=12, frozen=True):
    """Prints of one instant, in order; a symbol may stand there more than once."""

    ids: I32
    price: F64
    size: F64


class SessionOpened(Market, tag=13, frozen=True):
    """The calendar's session began.

    Attributes:
        session: its date, open, close and number.
        first_opens: in the first session of a run, by symbol id, the open in units of 1e-8 of each symbol that has a
            bar at the run's very first instant, 0 for the others; () in every later session, and where that bar begins
            later than the session. Without bars the first price of each symbol that ticks within a minute. Before
            anything has traded this is the one price known at that instant; only the gate reads it, as an order's
            reference.
        first_end: when the first bar ends; until then nothing fresher can be known. 0 in every later session.
    """

    session: Session
    first_opens: tuple[int, ...] = ()
    first_end: int = 0


class SessionClosing(Market, tag=14, frozen=True):
    """The session will close at ``session.close_ts``; auction orders are no longer taken."""

    session: Session


class SessionClosed(Market, tag=15, frozen=True):
    """The session ended; all its bars have been seen. Daily strategies decide now."""

    session: Session


class TradingStatus(Market, tag=16, frozen=True):
    """A symbol's status changed.

    Attributes:
        symbol: -1 for every symbol (a market-wide breaker).
        state: ``trading``, ``halted``, ``luld`` (with bands: trading within them; without: paused) or ``ssr`` (short
            sales restricted); anything else is unknown and means halted.
        lower, upper: price bands, units of 1e-8.
        reason: why, as the source says it.
        carried: it was said before the first session of the run and still holds: a short-sale restriction of the
            session before then ends with the first.
    """

    symbol: int
    state: str
    lower: int | None = None
    upper: int | None = None
    reason: str = ""
    carried: bool = False


class CorporateAction(Market, tag=17, frozen=True):
    """A split, dividend, rename or delisting that takes effect before the open of ``ex_date`` (YYYYMMDD).

    Attributes:
        kind: ``split``, ``dividend``, ``rename`` or ``delist``.
        value: cash per share of a dividend, or of a delisting (-1: the last known price), units of 1e-8; for a split
            new shares per old one, rounded to 1e-8 where it has more digits.
        pay_date: of a dividend, YYYYMMDD; None: the ex-date.
        renamed_to: the new symbol's id.
        numerator, denominator: of a split, exact: 4 and 1 for four new shares per old one.
    """

    ex_date: int
    symbol: int
    kind: str
    value: int
    pay_date: int | None = None
    renamed_to: int | None = None
    numerator: int = 0
    denominator: int = 0


class NewsItem(Market, tag=18, frozen=True):
    """A headline at the time we first saw it."""

    news_id: str
    symbols: tuple[int, ...]
    headline: str
    summary: str = ""
    source: str = ""


class FeedConnected(Market, tag=110, frozen=True):
    """A market-data connection is live."""

    feed: str


class FeedLost(Market, tag=111, frozen=True):
    """A market-data connection was lost."""

    feed: str
    reason: str


class FeedStale(Market, tag=112, frozen=True):
    """A symbol (-1: the whole feed) is silent although the calendar says it should not be."""

    feed: str
    symbol: int
    age_ms: int


class GapDetected(Market, tag=113, frozen=True):
    """Data between two instants is missing: nothing is matched or decided as if prices were known in between.

    Resting orders are live only for prices behind ``to_ts``, and trading reduces until prices are fresh again.
    """

    feed: str
    from_ts: int
    to_ts: int
