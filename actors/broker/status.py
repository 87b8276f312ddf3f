"""Who may trade, within which prices, and short or not: a fold of statuses, sessions and prices.

Halts. While a symbol or the whole market is halted nothing of it is matched: no fill, no trigger, no trail that moves.
A bar that overlaps a halt is not matched either, for nobody can say which of its prices were traded at while it lasted.
A bar that ends as the halt begins was over by then.
What lifts a halt stands in :mod:`actors.values.halts`; a gap in the data lifts nothing.

Bands (LULD). No purchase above the upper band, no sale below the lower one: what a taker would pay beyond is cut to the
band, and a price that lies beyond it fills nothing. Bands hold until new ones or ``trading`` take their place, and no
longer than their session: the next one begins with bands of its own, which nobody knows before they are told. A bar
inside which bands followed each other is held to the widest of them, since none of its prices says when it was traded;
one that ends as they are lifted had them all the time.

Short-sale restriction (Rule 201 of Regulation SHO). It holds for the rest of the session and for the next one. While
it does, a short sale fills only as a limit that rests above the market and is met from below. Computed, it follows from
a fall of ten percent below the last price of the session before; what trades outside regular hours is neither.

Prices are ``int`` in units of 1e-8.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from actors.messages.market import BarPanel, TradePanel, TradingStatus
from actors.messages.orders import BUY, OrderType, SubmitOrder
from actors.values.fixed import SCALE, fmt
from actors.values.halts import LULD, MARKET, SSR, Halts

I64 = npt.NDArray[np.int64]
Bands = tuple[int | None, int | None]
"""(lower, upper), None for none on that side"""
Told = tuple[int, Bands]
"""(when, nanoseconds UTC; bands)"""
NO_BANDS: Final[Bands] = (None, None)
"""What was told to lift bands."""

SSR_RESTRICTED: Final = "SSR_RESTRICTED"
FLAGGED: Final = "flagged"
COMPUTED: Final = "computed"
OFF: Final = "off"
_SINCE: Final = 8
"""Place of what came last into the states that are kept."""
_HOURS: Final = 9
_ALWAYS: Final = (0, 1 << 62)
_SOON: Final = -2
"""Last session of a restriction that was told before any session was seen: the first one."""
_FALL: Final = (9, 10)
"""At this fraction of the close before, or below, a fall restricts short sales: ten percent."""
_PATIENT: Final = (OrderType.LIMIT, OrderType.TAKE_PROFIT)


class MarketStatus:
    """See the module.

    Attributes:
        quiet: nothing was ever halted: bars and ticks need not ask.
        banded: some symbol has bands.
        restricted: some short sales may be restricted.
        computes: restrictions follow from prices, too, which must be shown to :meth:`note_prices`.
        told: symbol -> state of those of which it was told that they are frozen.
    """

    __slots__ = (
        "_bands",
        "_close",
        "_halts",
        "_hours",
        "_last",
        "_mode",
        "_released",
        "_ssr",
        "_stopped",
        "banded",
        "computes",
        "quiet",
        "restricted",
        "session",
        "told",
    )

    def __init__(self, n_symbols: int, ssr: str) -> None:
        """Begin with everything trading.

        Args:
            n_symbols: size of the universe.
            ssr: ``flagged`` (restrictions come from statuses), ``computed`` (from prices as well) or ``off``.
        """
        self._mode = ssr
        self._halts = Halts()
        self._stopped: dict[int, int] = {}
        """Symbol -> when its present halt began, nanoseconds UTC."""
        self._released: dict[int, int] = {}
        """Symbol -> when its last halt ended, nanoseconds UTC."""
        self._bands: dict[int, list[Told]] = {}
        """Symbol -> bands that followed each other since its last bar, none among them; the last ones hold."""
        self._ssr: dict[int, int] = {}
        """Symbol -> number of the last session of its restriction."""
        self.told: dict[int, str] = {}
        self.session = -1
        self._hours = _ALWAYS
        """Of the regular session that began last, nanoseconds UTC."""
        self.computes = ssr == COMPUTED
        count = n_symbols if self.computes else 0
        self._last: I64 = np.zeros(count, dtype=np.int64)
        self._close: I64 = np.zeros(count, dtype=np.int64)
        self._look()

    def _look(self) -> None:
        self.banded = bool(self._bands)
        self.restricted = bool(self._ssr)
        self.quiet = not (self._halts.stopped or self._released)

    # -- folds -----------------------------------------------------------------------------------------------------

    def fold(self, status: TradingStatus) -> None:
        """Take over a status."""
        symbol, state = status.symbol, status.state
        if state == SSR:
            self._restrict(symbol, carried=status.carried)
        else:
            banded = status.lower is not None or status.upper is not None
            halted = symbol in self._halts.stopped
            self._halts.fold(symbol, state, status.reason, banded=banded)
            if symbol in self._halts.stopped:
                self._stopped.setdefault(symbol, status.ts)
            elif halted:
                del self._stopped[symbol]
                self._released[symbol] = status.ts
            if state == LULD and banded and symbol != MARKET:
                self._bands.setdefault(symbol, []).append((status.ts, (status.lower, status.upper)))
            elif symbol in self._bands:  # a bar that ends at this very instant had them, and comes behind it
                self._bands[symbol].append((status.ts, NO_BANDS))
        self._look()

    def _restrict(self, symbol: int, *, carried: bool = False) -> None:
        if self._mode == OFF:
            return
        until = _SOON if self.session < 0 else self.session + (not carried)
        self._ssr[symbol] = max(until, self._ssr.get(symbol, until))

    def begin(self, number: int, hours: tuple[int, int]) -> None:
        """A session begins; restrictions that ended with an earlier one are over.

        Args:
            number: of the session.
            hours: when it opens and closes, nanoseconds UTC.
        """
        self._hours = hours
        if number == self.session:
            return
        self.session = number
        if self.computes:
            self._close = self._last.copy()
        if self._ssr:
            self._ssr = {s: number if until == _SOON else until for s, until in self._ssr.items()}
            self._ssr = {symbol: until for symbol, until in self._ssr.items() if until >= number}
            self._look()

    def after_bars(self, ids: npt.NDArray[np.int32]) -> None:
        """Bars of these symbols are done: what comes is held to the bands of now, and those that follow."""
        for symbol in ids.tolist():
            told = self._bands.get(symbol)
            if told is not None:
                del told[:-1]
                if told[0][1] == NO_BANDS:
                    del self._bands[symbol]
        self._look()

    def end(self) -> None:
        """The session under way ends, and bands with it."""
        if self._bands:
            self._bands = {}
            self._look()

    def note_bar(self, panel: BarPanel) -> None:
        """Take over what a panel's symbols traded at in regular hours; see :meth:`note_prices`."""
        opened, closed = self._hours
        if not panel.daily and not (panel.start_ts >= opened and panel.ts <= closed):
            return
        low: I64 = np.rint(panel.low * SCALE).astype(np.int64)
        self.note_prices(panel.ids, low, panel.close_fx)

    def note_trades(self, panel: TradePanel) -> None:
        """Take over prints of regular hours; see :meth:`note_prices`."""
        opened, closed = self._hours
        if not opened <= panel.ts <= closed:
            return
        px: I64 = np.rint(panel.price * SCALE).astype(np.int64)
        ids, place = np.unique(panel.ids, return_inverse=True)
        low: I64 = np.full(len(ids), np.iinfo(np.int64).max)
        np.minimum.at(low, place, px)
        last: I64 = np.zeros(len(ids), dtype=np.int64)
        last[place] = px  # of several prints of a symbol the last one stays
        self.note_prices(ids, low, last)

    def note_prices(self, ids: npt.NDArray[np.int32], low: I64, last: I64) -> None:
        """Take over what symbols traded at; one that fell ten percent below the close before is restricted.

        Args:
            ids: ``[K]`` symbols, without repeats.
            low: ``[K]`` their lowest prices.
            last: ``[K]`` their newest prices.
        """
        self._last[ids] = last
        close = self._close[ids]
        fell = low * _FALL[1] <= close * _FALL[0]  # what never closed has 0 there, and nothing trades at 0
        for symbol in ids[fell].tolist():
            self._restrict(symbol)
        self.restricted = bool(self._ssr)

    def move(self, symbol: int, new: int) -> None:
        """Take over a rename: what holds of a symbol holds of the one it is called from now on."""
        self._halts.move(symbol, new)
        for held in (self._stopped, self._released, self._bands, self._ssr, self.told):
            _move(held, symbol, new)
        if self.computes:
            for column in (self._last, self._close):
                column[new] = column[symbol] or column[new]
        self._look()

    def split(self, symbol: int, numerator: int, denominator: int) -> None:
        """Take over a split: what the symbol closed at, in new shares."""
        if self.computes:
            for column in (self._last, self._close):
                column[symbol] = int(column[symbol]) * denominator // numerator

    # -- questions -------------------------------------------------------------------------------------------------

    def open(self, symbol: int, since_ts: int, until_ts: int | None = None) -> bool:
        """Whether the symbol was matched without a break from ``since_ts`` to ``until_ts`` (None: to now and on).

        Both are nanoseconds UTC; ``until_ts`` itself is not asked about, as the end of a bar is no part of it.
        """
        stopped = self._stopped
        if stopped:
            if until_ts is None:
                if symbol in stopped or MARKET in stopped:
                    return False
            elif stopped.get(symbol, until_ts) < until_ts or stopped.get(MARKET, until_ts) < until_ts:
                return False
        released = self._released
        return not released or (released.get(symbol, 0) <= since_ts and released.get(MARKET, 0) <= since_ts)

    def passing(self, panel: BarPanel, rows: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
        """Return those of a panel's rows whose symbols were matched for the whole of the bar."""
        start, end = panel.start_ts, panel.ts
        ids = panel.ids
        open_rows = [row for row in rows.tolist() if self.open(row if panel.dense else ids.item(row), start, end)]
        return np.array(open_rows, dtype=np.intp)

    def frozen(self, symbol: int) -> tuple[str, str] | None:
        """Return (state, reason) where the symbol (-1: the market as a whole) is halted, else None."""
        return self._halts.stopped.get(symbol)

    def cap(self, symbol: int, side: int, bar: tuple[int, int] | None = None) -> int | None:
        """Return the worst price a fill may have: the upper band of a purchase, the lower one of a sale.

        Args:
            symbol: its id.
            side: +1 buy, -1 sell.
            bar: when the bar that fills began and ended, nanoseconds UTC; None for what trades now.
        """
        told = self._bands.get(symbol)
        if told is None:
            return None
        held = [told[-1][1]] if bar is None else _within(told, *bar)
        caps = [bands[1] if side == BUY else bands[0] for bands in held]
        known = [cap for cap in caps if cap is not None]
        if not known or len(known) < len(caps):
            return None
        return max(known) if side == BUY else min(known)

    def short_restricted(self, symbol: int) -> bool:
        """Whether short sales of the symbol are restricted."""
        ssr = self._ssr
        return bool(ssr) and (symbol in ssr or MARKET in ssr)

    def refuse_short(self, order: SubmitOrder, held: int, last: int) -> tuple[str, str] | None:
        """Return (code, sentence) where an order would sell short at once what may not be, else None.

        Args:
            order: which comes in.
            held: position in its symbol.
            last: the bid where one is known, else the last price, 0 where there is neither.
        """
        if order.side == BUY or order.reduce_only or order.lot_id or not self.short_restricted(order.symbol):
            return None
        if order.qty <= held:
            return None
        if order.type in _PATIENT and order.limit_px is not None and last and order.limit_px > last:
            return None
        above = f" above {fmt(last)}" if last else ""
        reason = f"short sales are restricted (Rule 201): sell what is held, or with a limit{above} that rests"
        return SSR_RESTRICTED, reason

    # -- snapshots -------------------------------------------------------------------------------------------------

    def snapshot(self) -> list[Any]:
        """Return plain values, equal for equal states."""
        return [
            self._halts.snapshot(),
            [[symbol, ts] for symbol, ts in sorted(self._released.items())],
            [[symbol, [[ts, *bands] for ts, bands in told]] for symbol, told in sorted(self._bands.items())],
            [[symbol, until] for symbol, until in sorted(self._ssr.items())],
            [[symbol, state] for symbol, state in sorted(self.told.items())],
            self.session,
            self._last.tobytes(),
            self._close.tobytes(),
            [[symbol, ts] for symbol, ts in sorted(self._stopped.items())],
            list(self._hours),
        ]

    def restore(self, state: list[Any]) -> None:
        """Take over what :meth:`snapshot` gave."""
        self._halts.restore(state[0])
        self._released = dict(state[1])
        self._bands = {
            symbol: [(ts, (lower, upper)) for ts, lower, upper in told] for symbol, told in map(_told_of, state[2])
        }
        self._ssr = dict(state[3])
        self.told = dict(state[4])
        self.session = state[5]
        # States of before it was kept know no beginning: those halts began before whatever comes.
        self._stopped = dict(state[_SINCE]) if len(state) > _SINCE else dict.fromkeys(self._halts.stopped, 0)
        if len(state) > _HOURS:  # a state of an older version knows of no hours
            self._hours = state[_HOURS][0], state[_HOURS][1]
        if self.computes and state[6]:
            self._last = np.frombuffer(state[6], dtype=np.int64).copy()
            self._close = np.frombuffer(state[7], dtype=np.int64).copy()
        self._look()


def _within(told: list[Told], start: int, end: int) -> list[Bands]:
    """Return the bands that held at some time of a bar, or from the first ones that were told inside it."""
    until = [ts for ts, _ in told[1:]] + [end]
    return [bands for (ts, bands), last in zip(told, until, strict=True) if ts < end and last > start]


def _told_of(row: list[Any]) -> tuple[int, list[list[Any]]]:
    """Return (symbol, bands told) of a snapshot's row; older ones have (symbol, lower, upper)."""
    symbol, *rest = row
    kept: list[list[Any]] = [[0, *rest]] if len(rest) > 1 else rest[0]
    return symbol, kept


def _move(held: dict[int, Any], symbol: int, new: int) -> None:
    if symbol in held:
        held[new] = held.pop(symbol)
