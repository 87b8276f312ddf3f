"""A broker at a desk of its own: the real sequencer, a virtual clock, and short ways to say orders and bars."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from actors.broker.actor import BrokerActor
from actors.broker.params import BrokerParams
from actors.messages.catalogue import codec
from actors.messages.market import BarPanel, SessionClosed, SessionOpened
from actors.messages.orders import (
    CancelAll,
    CancelOrder,
    OrderFilled,
    OrderPartiallyFilled,
    OrderType,
    RouteOrder,
    RouteReplace,
    SubmitOrder,
    TimeInForce,
)
from actors.messages.portfolio import CashFlowed
from actors.values.fixed import SCALE
from actors.values.session import Session
from actors.values.universe import Universe
from daemon.kernel.actor import Frame
from daemon.kernel.clock import VirtualClock
from daemon.kernel.message import Event, Message
from daemon.kernel.sequencer import Sequencer

HOUR = 3_600 * 10**9
DAY = 24 * HOUR
FREE = BrokerParams(
    commission_rate=0, slippage_rate=0, spread_rate=0, impact="none", participation=0, fill_on_touch=True
)
"""The ``frictionless`` profile's broker."""
PLAN = BrokerParams()


def fx(value: float) -> int:
    """A decimal number in units of 1e-8."""
    return round(value * SCALE)


class Frames(list[Frame]):
    """A sink."""


class Desk:
    """One broker, one account ``main``, symbols A, B, C ...; times in hours, sessions from hour 24n to 24n+8."""

    def __init__(
        self,
        params: BrokerParams = PLAN,
        *,
        n: int = 2,
        cash: float = 1_000_000,
        daily: bool = True,
        date: int = 20200102,
    ) -> None:
        self.universe = Universe(tuple(chr(65 + i) if n <= 26 else f"S{i}" for i in range(n)))
        self.params = params
        self.daily = daily
        self.date = date
        self.clock = VirtualClock(0)
        self.frames = Frames()
        self.broker = BrokerActor(self.universe, params, daily=daily)
        self.sequencer = self._build()
        self.count = 0
        if cash:
            self.deposit(cash)

    def _build(self) -> Sequencer:
        return Sequencer([self.broker], codec=codec(), clock=self.clock, sink=self.frames)

    def split(self) -> None:
        """Go on in fresh actors from a snapshot."""
        snapshot = self.sequencer.snapshot()
        self.broker = BrokerActor(self.universe, self.params, daily=self.daily)
        self.sequencer = self._build()
        self.sequencer.restore(snapshot)

    def put(self, message: Message, ts: int | None = None) -> list[Event]:
        """Process one input, at ``ts`` if given."""
        if ts is not None and ts > self.clock.now():
            self.clock.advance_to(ts)
        return self.sequencer.process(message, "test")

    def deposit(self, amount: float, portfolio: str = "main") -> None:
        """Open or top up an account."""
        known = CashFlowed.__struct_fields__
        values: dict[str, Any] = {
            "portfolio": portfolio,
            "amount": fx(amount),
            "reason": "deposit",
            "cash": fx(amount),
            "postings": (),
        }
        self.put(CashFlowed(**{name: value for name, value in values.items() if name in known}))

    def order(self, side: int, qty: float, kind: str = "market", px: float | None = None, **extra: Any) -> SubmitOrder:
        """Make an order for symbol 0 unless told otherwise."""
        self.count += 1
        values: dict[str, Any] = {
            "client_order_id": f"c{self.count}",
            "portfolio": "main",
            "symbol": 0,
            "side": side,
            "qty": fx(qty),
            "type": OrderType(kind),
            "tif": TimeInForce.GTC,
        }
        if kind == "limit":
            values["limit_px"] = fx(px) if px is not None else None
        elif kind == "stop":
            values["stop_px"] = fx(px) if px is not None else None
        values.update(extra)
        return SubmitOrder(**values)

    def route(self, side: int, qty: float, kind: str = "market", px: float | None = None, **extra: Any) -> list[Event]:
        """Route an order to the broker."""
        reserved = extra.pop("reserved", 0)
        return self.put(RouteOrder(self.order(side, qty, kind, px, **extra), reserved))

    def replace(self, client: str, qty: float, *, limit: float | None = None, stop: float | None = None) -> list[Event]:
        """Route new terms."""
        limit_px = None if limit is None else fx(limit)
        stop_px = None if stop is None else fx(stop)
        return self.put(RouteReplace(client, fx(qty), limit_px, stop_px, 0))

    def cancel(self, client: str) -> list[Event]:
        """Cancel an order."""
        return self.put(CancelOrder(client, "asked"))

    def cancel_all(self, scope: str, portfolio: str = "") -> list[Event]:
        """Cancel many."""
        return self.put(CancelAll(portfolio, scope, "asked"))

    def bar(
        self, hour: float, *rows: tuple[float, ...] | None, volume: Any = None, width: float = 1.0, **extra: Any
    ) -> list[Event]:
        """Feed bars (open, high, low, close) that end at ``hour``, one per symbol; None leaves a symbol out."""
        ts, span, n = int(hour * HOUR), int(width * HOUR), len(self.universe)
        panel = make_panel(rows, ts, span, self.date, volume, n=n, daily=self.daily, **extra)
        return self.put(panel, panel.ts)

    def session(self, day: int) -> Session:
        """The day's session."""
        return Session(self.date, day * DAY, day * DAY + 8 * HOUR, day)

    def open(self, day: int) -> list[Event]:
        """Open a day's session."""
        return self.put(SessionOpened(day * DAY, self.session(day)), day * DAY)

    def close(self, day: int) -> list[Event]:
        """Close a day's session."""
        return self.put(SessionClosed(day * DAY + 8 * HOUR, self.session(day)), day * DAY + 8 * HOUR)


def make_panel(
    rows: tuple[tuple[float, ...] | None, ...],
    ts: int,
    width: int,
    date: int,
    volume: Any,
    *,
    n: int | None = None,
    daily: bool = True,
    **extra: Any,
) -> BarPanel:
    """Build a panel from (open, high, low, close) rows."""
    ids = np.array([i for i, row in enumerate(rows) if row is not None], dtype=np.int32)
    table = np.array([row for row in rows if row is not None], dtype=np.float64).reshape(len(ids), 4)
    columns = [np.ascontiguousarray(table[:, k]) for k in range(4)]
    quotes = {
        name: np.array(extra.pop(name), dtype=np.float64)
        for name in ("bid_open", "ask_open", "bid_close", "ask_close")
        if name in extra
    }
    if volume is not None:
        volume = np.broadcast_to(np.asarray(volume, dtype=np.float64), (len(ids),)).copy()
    return BarPanel(
        ts=ts,
        start_ts=ts - width,
        session=date,
        daily=daily,
        ids=ids,
        dense=len(ids) == (n or len(rows)),
        open=columns[0],
        high=columns[1],
        low=columns[2],
        close=columns[3],
        close_fx=np.rint(columns[3] * SCALE).astype(np.int64),
        volume=volume,
        **quotes,
        **extra,
    )


def fills(events: list[Event]) -> list[OrderFilled | OrderPartiallyFilled]:
    """The fills among events."""
    return [e for e in events if isinstance(e, OrderFilled | OrderPartiallyFilled)]


def kinds(events: list[Event]) -> list[str]:
    """The events' names."""
    return [type(e).__name__ for e in events]


def with_params(base: BrokerParams = FREE, **changes: Any) -> BrokerParams:
    """A profile with changes."""
    return msgspec.structs.replace(base, **changes)
