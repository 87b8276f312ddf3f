"""A run's orders as cost analysis wants them, and ``tca.csv``."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import numpy.typing as npt

from actors.messages.orders import OrderStatus
from actors.reporter.stamps import expectation, is_missed, stamps
from actors.reporter.story import OrderRow, Story
from actors.reporter.tables import cell, last_closes, number, table
from actors.reporter.tca import FINE, Analysis, ParentOrder, Shortfall
from actors.values.fixed import SCALE, fmt, to_fixed
from actors.values.time import SECOND_NS, format_ts
from actors.values.universe import Universe

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

HEADER: Final = (
    "ts,order_id,client_order_id,symbol,side,type,strategy,status,qty,filled_qty,decision_px,arrival_px,avg_px,end_px,"
    "delay,execution,opportunity,fees,total,total_bps,spread,slippage,impact,timing,expected_cost,paid_cost,"
    "vwap,close_px,arrival_cost,vwap_cost,close_cost"
)


class Traded(msgspec.Struct, frozen=True):
    """All trading in a symbol: ``ts [n]`` ascending, when it was known; price and volume ``[n]`` of bars or prints."""

    ts: I64
    price: F64
    volume: F64

    def vwap(self, after: int, until: int) -> float | None:
        """Return the average price in (after, until], weighted by volume; None where nothing known was traded."""
        rows = slice(int(np.searchsorted(self.ts, after, "right")), int(np.searchsorted(self.ts, until, "right")))
        price, volume = self.price[rows], self.volume[rows]
        known = np.isfinite(price) & (volume > 0)
        weight = float(volume[known].sum())
        return float((price[known] * volume[known]).sum()) / weight if weight > 0 else None

    def last(self, until: int) -> float:
        """Return the last price known at a time, NaN where there is none."""
        i = int(np.searchsorted(self.ts, until, "right")) - 1
        return float(self.price[i]) if i >= 0 else float("nan")


TradedOf = Callable[[Collection[int]], Mapping[int, tuple[I64, F64, F64]]]
"""Looks up the trading in some symbols, by id: what :class:`Traded` is made of."""


_WORKING: Final = (OrderStatus.NEW, OrderStatus.PARTIALLY_FILLED)
_FOREVER: Final = (1 << 63) - 1


class Surroundings(msgspec.Struct, frozen=True):
    """What of the market orders are compared with.

    Attributes:
        universe: of the run.
        zone: of the exchange.
        session_dates, session_closes: as in the run's record.
        traded: all trading, or None where no volume is known.
    """

    universe: Universe
    zone: str
    session_dates: I64
    session_closes: F64
    traded: TradedOf | None = None


class _Market:
    """What the market did, as far as some orders are compared with it."""

    def __init__(self, story: Story, around: Surroundings) -> None:
        rows = story.orders.values()
        wanted = {row.order.symbol for row in rows if row.trace.last_fill_ts or row.status in _WORKING}
        found = around.traded(sorted(wanted)) if around.traded is not None and wanted else {}
        self.traded = {symbol: Traded(*columns) for symbol, columns in found.items()}
        self._closes = around.session_closes
        self._last = last_closes(around.universe, around.session_closes)
        self._days = sorted({(p.ts, p.session) for points in story.closes.values() for p in points})
        self._at = {date: i for i, date in enumerate(around.session_dates.tolist())}

    def close_of(self, row: OrderRow) -> int | None:
        """Return the last price of the session of an order's last fill."""
        i = bisect_left(self._days, (row.trace.last_fill_ts, 0))
        if i == len(self._days):
            return None
        symbol, (ts, session) = row.order.symbol, self._days[i]
        found = self._at.get(session)
        bars = None if found is None else _fixed(self._closes[found, symbol])
        return bars or self._print_before(symbol, ts)

    def end_of(self, row: OrderRow) -> int | None:
        """Return the price at which an order ended; of one that still works, the last one there is."""
        symbol = row.order.symbol
        if row.trace.end_px or row.status not in _WORKING:
            return row.trace.end_px or None
        bars = _fixed(self._last[symbol]) if 0 <= symbol < self._last.size else None
        return bars or self._print_before(symbol, _FOREVER)

    def _print_before(self, symbol: int, ts: int) -> int | None:
        return _fixed(self.traded[symbol].last(ts)) if symbol in self.traded else None


def analyse(story: Story, around: Surroundings) -> Analysis:
    """Analyse every order of a run."""
    market, zone = _Market(story, around), ZoneInfo(around.zone)
    return Analysis.of(_parent(row, market, around.universe, zone) for row in story.orders.values())


def _parent(row: OrderRow, market: _Market, universe: Universe, zone: ZoneInfo) -> ParentOrder:
    order, trace = row.order, row.trace
    symbol = order.symbol
    closing = fills = None
    if trace.last_fill_ts and not trace.split:  # prices on both sides of a split do not compare
        closing = market.close_of(row)
        fills = market.traded.get(symbol)
    decision, arrival = stamps(row)
    return ParentOrder(
        order_id=row.order_id,
        client_order_id=order.client_order_id,
        ts=row.ts,
        hour=datetime.fromtimestamp(row.ts // SECOND_NS, UTC).astimezone(zone).hour,
        portfolio=order.portfolio,
        symbol=universe.symbols[symbol] if symbol >= 0 else order.symbol_text,
        side=order.side,
        type=str(order.type),
        strategy=order.strategy,
        status=str(row.status),
        qty=row.qty,
        filled=row.cum_qty,
        value=trace.value,
        decision_px=decision,
        arrival_px=arrival,
        end_px=market.end_of(row),
        fees=trace.commission + trace.regulatory,
        spread=trace.spread,
        slippage=trace.slippage,
        impact=trace.impact,
        missed=is_missed(row),
        expected=expectation(row),
        paid=trace.spread + trace.slippage + trace.impact + trace.commission if trace.last_fill_ts else None,
        vwap=fills.vwap(row.ts, trace.last_fill_ts) if fills is not None else None,
        close=closing,
    )


def _fixed(price: float) -> int | None:
    return to_fixed(float(price)) if np.isfinite(price) and price > 0 else None


def fine(value: int | None) -> str:
    """Format units of 1e-16 as a plain decimal, "" for None."""
    if value is None:
        return ""
    whole, rest = divmod(abs(value), FINE)
    sign = "-" if value < 0 else ""
    if not rest:  # as most are
        return f"{sign}{whole}"
    return f"{sign}{whole}.{rest:016d}".rstrip("0").rstrip(".")


def _px(value: int | None) -> str:
    return "" if value is None else fmt(value)


def tca_csv(analysis: Analysis, several: bool = False) -> str:
    """Return one row an order; ``several`` adds the portfolio's name."""
    header = HEADER + (",portfolio" if several else "")
    return table(header, (_row(o, p) + (f",{cell(o.portfolio)}" if several else "") for o, p in analysis.rows))


def _row(o: ParentOrder, p: Shortfall) -> str:
    average = o.value / o.filled / SCALE if o.filled else None
    cells = (
        format_ts(o.ts),
        o.order_id,
        cell(o.client_order_id),
        cell(o.symbol),
        {1: "buy", -1: "sell"}.get(o.side, ""),
        o.type,
        cell(o.strategy),
        o.status,
        fmt(o.qty),
        fmt(o.filled),
        _px(o.decision_px),
        _px(o.arrival_px),
        number(average),
        _px(o.end_px),
        *(fine(part) for part in (p.delay, p.execution, p.opportunity, p.fees, p.total)),
        number(o.bps(p.total)),
        *(fine(part) for part in (p.spread, p.slippage, p.impact, p.timing)),
        _px(o.expected),
        _px(o.paid),
        number(o.vwap),
        _px(o.close),
        fine(p.arrival),
        number(p.vwap),
        fine(p.close),
    )
    return ",".join(cells)
