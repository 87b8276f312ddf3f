"""Last known prices of the universe and how old they are: a fold of the tape, read by the gate.

On daily data age is counted in sessions, on intraday data in nanoseconds of open market: the hours between a close
and the next open make nothing stale, and a bar's own length is added to what is allowed, because a price that is
known every minute cannot be fresher than a minute (``semantics.md`` section 4). Ticks are as old as they are.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from actors.messages.columns import pack_i64, unpack_i64
from actors.messages.market import (
    BarPanel,
    CorporateAction,
    GapDetected,
    QuotePanel,
    SessionClosed,
    SessionOpened,
    TradePanel,
    TradingStatus,
)
from actors.values.corporate import dividend_px, split_px
from actors.values.fixed import PRICE_MAX
from actors.values.halts import Halts
from actors.values.tick_prices import TickPrices

NEVER: Final = 2**63 - 1
"""Stands for an instant that does not come."""

I64 = npt.NDArray[np.int64]
I32 = npt.NDArray[np.int32]


class Prices:
    """Last close of every symbol in units of 1e-8, 0 where none is known, with its age.

    Attributes:
        now: the newest instant seen on the tape, nanoseconds UTC.
        session: number of sessions seen so far, from 1; 0 before the first.
        session_date: exchange date YYYYMMDD of the newest session.
        gap_to: end of the newest gap in the data, nanoseconds UTC, 0 where there was none.
        missing: by symbol whether it has had no price since that gap; None where nobody waits for one.
        halts: who may not trade.
        gone: symbols that are traded no more, with the one that each was renamed to, -1 for none.
        whole_ts: stamp of the newest instant, where it had a price of every symbol: at that instant nothing is stale;
            else -1.
        closes_at: when the session under way ends, nanoseconds UTC; never, where none is.
        version: grows with every price that may have changed, so that what was computed from prices can be kept.
    """

    __slots__ = (
        "_closed_ts",
        "_interval",
        "_open_ts",
        "_owned",
        "_px",
        "_seen",
        "_ticks",
        "closes_at",
        "daily",
        "gap_to",
        "gone",
        "halts",
        "missing",
        "now",
        "session",
        "session_date",
        "version",
        "whole_ts",
    )

    def __init__(self, n_symbols: int, *, daily: bool) -> None:
        self.daily = daily
        self.version = 0
        self.closes_at = NEVER
        self.whole_ts = -1
        self.now = 0
        self.session = 0
        self.session_date = 0
        self._px: I64 = np.zeros(n_symbols, dtype=np.int64)
        self._seen: I64 = np.zeros(n_symbols, dtype=np.int64)
        self._owned = True
        self._ticks = TickPrices(n_symbols)
        self._interval = 0
        self._open_ts = 0
        self._closed_ts = 0
        self.gap_to = 0
        self.missing: npt.NDArray[np.bool_] | None = None
        self.halts = Halts()
        self.gone: dict[int, int] = {}

    def fold_bars(self, panel: BarPanel) -> None:
        """Take over the closes of a panel; a dense one costs no copy."""
        self.version += 1
        if panel.revision:
            self._fold_revision(panel)
            return
        if panel.session != self.session_date:
            self._begin(panel.session, panel.start_ts)
        ts = panel.ts
        self.now = ts
        self._interval = ts - panel.start_ts
        mark = self.session if self.daily else ts
        if self.missing is not None and ts > self.gap_to:
            self.missing[panel.ids] = False
        if panel.dense:
            # Panels are immutable, so their column can be kept instead of copied until a sparse panel has to write.
            self._px = panel.close_fx
            self._owned = False
            self._seen.fill(mark)
            self.whole_ts = ts
            return
        if not self._owned:
            self._px = self._px.copy()
            self._owned = True
        self._px[panel.ids] = panel.close_fx
        self._seen[panel.ids] = mark

    def fold_quotes(self, panel: QuotePanel) -> None:
        """Take over what quotes say about last prices; a quote also says that the last print still stands."""
        self.version += 1
        ids = panel.ids
        if ids.size != 1:
            found, prices = self._ticks.many_quoted(ids, panel.bid_px, panel.ask_px)
            sound = (panel.bid_px > 0) & (panel.bid_px <= panel.ask_px) & (panel.ask_px <= PRICE_MAX)
            self._freshen(panel.ts, ids[sound])
            self._px[found] = prices
            return
        bid, ask = panel.bid_px.item(0), panel.ask_px.item(0)
        if not 0 < bid <= ask <= PRICE_MAX:  # also true for NaN
            return
        symbol = ids.item(0)
        self._freshen(panel.ts, symbol)
        px = self._ticks.quoted(symbol, bid, ask)
        if px:
            self._px[symbol] = px

    def fold_trades(self, panel: TradePanel) -> None:
        """Take over the last prints."""
        self.version += 1
        ids = panel.ids
        if ids.size != 1:
            self._freshen(panel.ts, ids)
            self._px[ids] = self._ticks.many_printed(ids, panel.price)
            return
        symbol = ids.item(0)
        self._freshen(panel.ts, symbol)
        self._px[symbol] = self._ticks.printed(symbol, panel.price.item(0))

    def _freshen(self, ts: int, ids: I32 | int) -> None:
        """Note that the prices of some symbols, or of one, are those of ``ts``."""
        self.now = ts
        self.version += 1
        if not self._owned:
            self._px = self._px.copy()
            self._owned = True
        # The length of a bar is taken off every price's age; a tick has none.
        self._seen[ids] = self.session if self.daily else ts - self._interval
        if self.missing is not None and ts > self.gap_to:
            self.missing[ids] = False

    def _fold_revision(self, panel: BarPanel) -> None:
        """Take over a late correction for those whose newest bar it is; it makes no price younger than its bar."""
        self.now = max(self.now, panel.ts)
        ids = panel.ids
        if self.daily:
            end = self.session
            newest = np.full(len(ids), panel.session == self.session_date)
        else:
            end = panel.start_ts + self._interval
            newest = self._seen[ids] <= end
        ids = ids[newest]
        if not len(ids):
            return
        if not self._owned:
            self._px = self._px.copy()
            self._owned = True
        self._px[ids] = panel.close_fx[newest]
        self._seen[ids] = end

    def fold_status(self, status: TradingStatus) -> None:
        """Take over who may trade."""
        banded = status.lower is not None or status.upper is not None
        self.halts.fold(status.symbol, status.state, status.reason, banded=banded)

    def fold_action(self, action: CorporateAction) -> None:
        """Say a last price in the units behind a corporate action; it is as old as it was."""
        symbol = action.symbol
        if action.kind == "split":
            self._set(symbol, split_px(self.last(symbol), action.numerator, action.denominator))
        elif action.kind == "dividend":
            self._set(symbol, dividend_px(self.last(symbol), action.value))
        elif action.kind == "rename" and action.renamed_to is not None:
            new = action.renamed_to
            self.halts.move(symbol, new)
            self.gone[symbol] = new
            self.gone.pop(new, None)
            if self.last(symbol):
                self._set(new, self.last(symbol))
                self._seen[new] = self._seen[symbol]
                self._set(symbol, 0)
        elif action.kind == "delist":
            self.gone[symbol] = -1

    def _set(self, symbol: int, px: int) -> None:
        self.version += 1
        if not self._owned:
            self._px = self._px.copy()
            self._owned = True
        self._px[symbol] = px

    def fold_opened(self, panel: SessionOpened) -> None:
        """Begin a session."""
        self.now = panel.ts
        if panel.session.date != self.session_date:
            self._begin(panel.session.date, panel.ts)
        self._open_ts = panel.ts
        self.closes_at = panel.session.close_ts
        if panel.first_opens:
            self._fold_first_opens(panel)

    def _fold_first_opens(self, panel: SessionOpened) -> None:
        self.version += 1
        opens = np.array(panel.first_opens, dtype=np.int64)
        unknown = (self._px <= 0) & (opens > 0)
        self._px = np.where(unknown, opens, self._px)
        self.version += 1
        self._owned = True
        self._seen[unknown] = self.session if self.daily else panel.first_end

    def fold_gap(self, panel: GapDetected) -> None:
        """Prices were missed: whoever waits for fresh ones waits for those behind this gap."""
        self.gap_to = max(self.gap_to, panel.to_ts)
        if self.missing is not None:
            self.missing[:] = True

    def wait(self, *, fresh: bool) -> None:
        """Begin to wait for a fresh price of every symbol, or let it be."""
        self.missing = np.ones(len(self._px), dtype=np.bool_) if fresh else None

    def fold_closed(self, panel: SessionClosed) -> None:
        """End a session: from here to the next open nothing ages."""
        self.now = panel.ts
        self._closed_ts = panel.ts
        self.closes_at = NEVER

    @property
    def closes(self) -> I64:
        """Last price of every symbol, units of 1e-8, 0 for none; read only."""
        return self._px

    def of_session(self) -> npt.NDArray[np.bool_]:
        """Return which symbols had a price in the session under way."""
        first = self.session if self.daily else self._open_ts - self._interval
        found: npt.NDArray[np.bool_] = self._seen >= first
        return found

    @property
    def interval(self) -> int:
        """Length of the last bar in nanoseconds, 0 where there was none."""
        return self._interval

    @property
    def in_session(self) -> bool:
        """Whether a session has begun and not ended yet; one may begin at the instant at which the last one ends."""
        return self.session > 0 and self._open_ts >= self._closed_ts

    def last(self, symbol: int) -> int:
        """Return the last known price, 0 where there is none."""
        price: int = self._px.item(symbol)
        return max(0, price)

    def sessions_old(self, symbol: int) -> int:
        """Return how many sessions ago the price was seen; meaningful on daily data."""
        return self.session - int(self._seen.item(symbol))

    def age_ns(self, symbol: int, now: int) -> int:
        """Return the price's age in nanoseconds of open market at ``now``, less the length of the bar it came from."""
        seen: int = self._seen.item(symbol)
        closed = self._closed_ts
        if seen <= closed:
            since_open = now - self._open_ts if self._open_ts >= closed else 0
            age = closed - seen + since_open
        else:
            age = now - seen
        return age - self._interval

    def _begin(self, date: int, ts: int) -> None:
        self.session += 1
        self.session_date = date
        self._open_ts = ts
        self._ticks.begin()

    def snapshot(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "now": self.now,
            "session": self.session,
            "session_date": self.session_date,
            "px": pack_i64(self._px),
            "seen": pack_i64(self._seen),
            "interval": self._interval,
            "open_ts": self._open_ts,
            "closed_ts": self._closed_ts,
            "closes_at": self.closes_at,
            "gap_to": self.gap_to,
            "missing": None if self.missing is None else self.missing.tobytes(),
            "halts": self.halts.snapshot(),
            "gone": list(self.gone.items()),
            "ticks": self._ticks.snapshot(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`snapshot` gave."""
        self.version += 1
        self.now = state["now"]
        self.session = state["session"]
        self.session_date = state["session_date"]
        self.version += 1
        self._px = unpack_i64(state["px"]).astype(np.int64)
        self._seen = unpack_i64(state["seen"]).astype(np.int64)
        self._owned = True
        self._interval = state["interval"]
        self._open_ts = state["open_ts"]
        self._closed_ts = state["closed_ts"]
        self.closes_at = state.get("closes_at", NEVER)
        self.gap_to = state["gap_to"]
        self.halts.restore(state.get("halts", []))
        self.gone = dict(state.get("gone", ()))  # a snapshot of an older version knows of none
        self._ticks.restore(state.get("ticks", b""))
        missing = state["missing"]
        self.missing = None if missing is None else np.frombuffer(missing, dtype=np.bool_).copy()
