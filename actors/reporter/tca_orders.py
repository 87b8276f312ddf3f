"""A run's orders as cost analysis wants them, and ``tca.csv``."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import numpy.typing as npt

from actors.messages.orders import OrderStatus
from actors.reporter.stamps import expectation, is_missed, stamps
from actors.reporter.story import OrderRow, Story
from actors.reporter.tables import amount, cell, last_closes, number, stamp, table
from actors.reporter.tca import FINE, Analysis, ParentOrder, Shortfall
from actors.values.fixed import SCALE, to_fixed
from actors.values.time import SECOND_NS
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

    def vwaps(self, after: Sequence[int], until: Sequence[int]) -> list[float | None]:
        """Return by interval (after, until] the average price by volume; None where nothing known was traded."""
        first, end = (np.searchsorted(self.ts, np.array(s, dtype=np.int64), "right").tolist() for s in (after, until))
        return [self._average(a, b) for a, b in zip(first, end, strict=True)]

    def _average(self, first: int, end: int) -> float | None:
        if end == first + 1:  # as of most orders of a strategy on bars: sums of one are dear
            one, weight = self.price.item(first), self.volume.item(first)
            return one * weight / weight if math.isfinite(one) and weight > 0 else None
        price, volume = self.price[first:end], self.volume[first:end]
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
_SIDES: Final = {1: "buy", -1: "sell"}


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
        self._stamps = [ts for ts, _ in self._days]
        self._at = {date: i for i, date in enumerate(around.session_dates.tolist())}
        self._vwaps = self._averages(rows)

    def _averages(self, rows: Collection[OrderRow]) -> dict[str, float | None]:
        """Return the average price between acceptance and last fill, by client order id, symbol by symbol."""
        compared: dict[int, list[OrderRow]] = {}
        for row in rows:
            if _compares(row):
                compared.setdefault(row.order.symbol, []).append(row)
        out: dict[str, float | None] = {}
        for symbol, group in compared.items():
            trading = self.traded.get(symbol)
            if trading is not None:
                found = trading.vwaps([row.ts for row in group], [row.trace.last_fill_ts for row in group])
                out.update(zip((row.order.client_order_id for row in group), found, strict=True))
        return out

    def vwap_of(self, row: OrderRow) -> float | None:
        """Return the average price of all trading between an order's acceptance and its last fill."""
        return self._vwaps.get(row.order.client_order_id)

    def close_of(self, row: OrderRow) -> int | None:
        """Return the last price of the session of an order's last fill."""
        i = bisect_left(self._stamps, row.trace.last_fill_ts)
        if i == len(self._days):
            return None
        symbol, (ts, session) = row.order.symbol, self._days[i]
        found = self._at.get(session)
        bars = None if found is None else _fixed(self._closes.item(found, symbol))
        return bars or self._print_before(symbol, ts)

    def end_of(self, row: OrderRow) -> int | None:
        """Return the price at which an order ended; of one that still works, the last one there is."""
        symbol = row.order.symbol
        if row.trace.end_px or row.status not in _WORKING:
            return row.trace.end_px or None
        bars = _fixed(self._last.item(symbol)) if 0 <= symbol < self._last.size else None
        return bars or self._print_before(symbol, _FOREVER)

    def _print_before(self, symbol: int, ts: int) -> int | None:
        return _fixed(self.traded[symbol].last(ts)) if symbol in self.traded else None


def analyse(story: Story, around: Surroundings) -> Analysis:
    """Analyse every order of a run."""
    market, zone = _Market(story, around), ZoneInfo(around.zone)
    hours: dict[int, int] = {}
    for row in story.orders.values():
        second = row.ts // SECOND_NS
        if second not in hours:
            hours[second] = datetime.fromtimestamp(second, UTC).astimezone(zone).hour
    return Analysis.of(_parent(row, market, around.universe, hours) for row in story.orders.values())


def _compares(row: OrderRow) -> bool:
    """Tell whether an order's fills compare with the market's prices; those on both sides of a split do not."""
    return row.trace.last_fill_ts != 0 and not row.trace.split


def _parent(row: OrderRow, market: _Market, universe: Universe, hours: Mapping[int, int]) -> ParentOrder:
    order, trace = row.order, row.trace
    symbol, compares = order.symbol, _compares(row)
    decision, arrival = stamps(row)
    return ParentOrder(
        order_id=row.order_id,
        client_order_id=order.client_order_id,
        ts=row.ts,
        hour=hours[row.ts // SECOND_NS],
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
        vwap=market.vwap_of(row) if compares else None,
        close=market.close_of(row) if compares else None,
    )


def _fixed(price: float) -> int | None:
    return to_fixed(price) if math.isfinite(price) and price > 0 else None


@lru_cache(maxsize=1 << 12)
def fine(value: int | None) -> str:
    """Format units of 1e-16 as a plain decimal, "" for None; the parts of one order repeat each other."""
    if value is None:
        return ""
    whole, rest = divmod(abs(value), FINE)
    sign = "-" if value < 0 else ""
    if not rest:  # as most are
        return f"{sign}{whole}"
    return f"{sign}{whole}.{rest:016d}".rstrip("0").rstrip(".")


def tca_csv(analysis: Analysis, several: bool = False) -> str:
    """Return one row an order; ``several`` adds the portfolio's name."""
    header = HEADER + (",portfolio" if several else "")
    return table(header, (_row(o, p) + (f",{cell(o.portfolio)}" if several else "") for o, p in analysis.rows))


def _row(o: ParentOrder, p: Shortfall) -> str:
    average = o.value / o.filled / SCALE if o.filled else None
    return (
        f"{stamp(o.ts)},{o.order_id},{cell(o.client_order_id)},{cell(o.symbol)},{_SIDES.get(o.side, '')},{o.type},"
        f"{cell(o.strategy)},{o.status},{amount(o.qty)},{amount(o.filled)},{amount(o.decision_px)},"
        f"{amount(o.arrival_px)},{number(average)},{amount(o.end_px)},{fine(p.delay)},{fine(p.execution)},"
        f"{fine(p.opportunity)},{fine(p.fees)},{fine(p.total)},{number(o.bps(p.total))},{fine(p.spread)},"
        f"{fine(p.slippage)},{fine(p.impact)},{fine(p.timing)},{amount(o.expected)},{amount(o.paid)},"
        f"{number(o.vwap)},{amount(o.close)},{fine(p.arrival)},{number(p.vwap)},{fine(p.close)}"
    )
