"""Random whole runs of one account whose prices move a lot, and an auditor who reads nothing but the record.

The programs are played, cut and recovered by :mod:`tests.parity.programs`; here is only what happens in them.
"""

from __future__ import annotations

import random
from fractions import Fraction
from typing import Any, Final

import numpy as np

from actors.broker.params import BrokerParams
from actors.messages.market import BarPanel, Market, SessionClosed, SessionOpened
from actors.messages.orders import BUY, SELL, OrderFilled, OrderPartiallyFilled, OrderType, SubmitOrder, TimeInForce
from actors.messages.portfolio import CashFlowed, DepositCash, FinancingCharged
from actors.portfolio.params import PortfolioSpec
from actors.risk.params import RiskLimits
from actors.values import Universe, parse_interval
from actors.values.session import Session
from daemon.system.composition import CoreSpec
from tests.parity.programs import Kept, Program, Step

MINUTE: Final = 60 * 10**9
SHARE: Final = 10**8
SYMBOLS: Final = ("AA", "BB", "CC")
STARTS: Final = (60.0, 12.0, 5.5)
"""One symbol at either side of the prices where a short has other minimums."""
OPENED: Final = 1_709_821_800_000_000_000  # Thursday 2024-03-07, 14:30 UTC
DAYS: Final = ((0, 20240307), (1, 20240308), (4, 20240311), (5, 20240312), (6, 20240313))
"""Calendar days from the first, with the dates; a weekend lies between."""
OPEN_LIMITS: Final = {
    "min_order_value": 0,
    "max_order_value": 0,
    "max_order_fraction": 0.0,
    "max_position": 0.0,
    "max_positions": 0,
    "price_collar": 0.0,
    "stale_ns": 0,
    "duplicate_window_ns": 0,
    "daily_loss_warn": 0.0,
    "daily_loss_block": 0.0,
    "daily_loss_halt": 0.0,
    "max_drawdown": 0.0,
}
Fill = OrderFilled | OrderPartiallyFilled


def program(seed: int, account: str, *, move: float = 0.15, bars: int = 8) -> Program:
    """Return a program of one portfolio of 10,000 to 30,000 whose orders come from nowhere.

    Args:
        seed: decides everything.
        account: ``cash``, ``cash_strict`` or ``margin``.
        move: standard deviation of a bar's return.
        bars: a session has.
    """
    rng = random.Random(seed)  # noqa: S311 - a program is told by its seed
    margin = account == "margin"
    short = margin or rng.random() < 0.5
    broker = BrokerParams(
        commission_rate=rng.choice((0, 100_000)),
        min_commission=rng.choice((0, SHARE)),
        regulatory_fees=rng.random() < 0.5,
        impact=rng.choice(("none", "linear")),
        participation=rng.choice((0, 10_000_000)),
        same_event_fill=not margin and rng.random() < 0.2,
        account=account,
        allow_short=short,
        borrow_rate=30_000_000,
        margin_rate=80_000_000 * margin,
        require_locate=rng.random() < 0.2,
        margin_call=rng.choice(("liquidate", "liquidate", "warn")),
    )
    limits = RiskLimits(
        **OPEN_LIMITS, allow_short=short, cash_reserve=rng.choice((0, SHARE, 102_000_000)), replay=rng.random() < 0.5
    )
    portfolio = PortfolioSpec(
        "main",
        rng.choice((10_000, 30_000)) * SHARE,
        allow_short=short,
        reuse_proceeds=account != "cash_strict",
        borrow_rate=broker.borrow_rate,
        margin_rate=broker.margin_rate,
        margin=margin,
    )
    spec = CoreSpec(Universe(SYMBOLS), parse_interval("1m"), (), None, broker, limits, (portfolio,), seed)
    steps = [Step(DepositCash("main", portfolio.cash, "opening deposit"), "control", OPENED)]
    names = 0
    lean = rng.choice((BUY, BUY, SELL)) if short else BUY
    for body in _market(rng, move, bars):
        while rng.random() < 0.4:
            names += 1
            steps.append(Step(_command(rng, f"c{names}", lean), "script", body.ts))
        steps.append(Step(body, "feed", body.ts))
    return Program(spec, steps)


def _market(rng: random.Random, move: float, bars: int) -> list[Market]:
    found: list[Market] = []
    prices = np.array(STARTS)
    for number, (day, date) in enumerate(DAYS):
        opened = OPENED + day * 24 * 60 * MINUTE
        session = Session(date, opened, opened + bars * MINUTE, number)
        found.append(SessionOpened(opened, session))
        for bar in range(bars):
            begin = opened + bar * MINUTE
            ids = sorted(rng.sample(range(len(SYMBOLS)), rng.choice((2, 3, 3))))
            found.append(_panel(rng, prices, ids, begin, date, move))
        found.append(SessionClosed(session.close_ts, session))
    return found


def _panel(rng: random.Random, prices: Any, ids: list[int], start: int, date: int, move: float) -> BarPanel:
    def moved(base: Any, by: float) -> Any:
        return np.maximum(0.5, np.round(base * np.exp([rng.gauss(0, by) for _ in ids]), 2))

    opens = moved(prices[ids], move / 2)
    closes = moved(opens, move)
    prices[ids] = closes
    high = np.maximum(opens, closes) + np.round([rng.random() for _ in ids], 2)
    low = np.maximum(0.25, np.minimum(opens, closes) - np.round([rng.random() for _ in ids], 2))
    closes_fx = np.rint(closes * SHARE).astype(np.int64)
    volume = np.array([rng.choice((0.0, 900.0, 5e3, 1e6)) for _ in ids])
    dense = len(ids) == len(SYMBOLS)
    symbols = np.array(ids, dtype=np.int32)
    end = start + MINUTE
    return BarPanel(end, start, date, False, symbols, dense, opens, high, low, closes, closes_fx, volume)


def _command(rng: random.Random, name: str, lean: int) -> SubmitOrder | DepositCash:
    if rng.random() < 0.04:
        return DepositCash("main", rng.choice((-1, 1)) * rng.randrange(1, 4_000) * SHARE, "flow")
    symbol = rng.randrange(len(SYMBOLS))
    kind = rng.choice((OrderType.MARKET, OrderType.MARKET, OrderType.MARKET, OrderType.LIMIT, OrderType.STOP))
    px = round(STARTS[symbol] * (1 + rng.gauss(0, 0.1)) * 100) * SHARE // 100
    return SubmitOrder(
        name,
        "main",
        symbol,
        rng.choice((lean, lean, lean, -lean)),
        rng.choice((1, 20, 100, 300, 1500)) * SHARE,
        kind,
        rng.choice((TimeInForce.DAY, TimeInForce.GTC)),
        px if kind is OrderType.LIMIT else None,
        px if kind is OrderType.STOP else None,
        reason="script",
        reduce_only=rng.random() < 0.1,
    )


# -- the auditor -------------------------------------------------------------------------------------------------------


class Auditor:
    """Keeps an account by fills, flows and charges alone, in exact fractions of the currency.

    Attributes:
        cash, held: as the record says.
        closes: last closes, of bars whose fills are in the books.
        traded: market price of each symbol's last fill of the instant.
    """

    def __init__(self) -> None:
        self.cash = Fraction(0)
        self.held = [Fraction(0)] * len(SYMBOLS)
        self.closes = [Fraction(0)] * len(SYMBOLS)
        self.traded: dict[int, Fraction] = {}
        self.fills = 0
        self.charged = Fraction(0)

    def read(self, row: Kept) -> list[tuple[Fill, Fraction]]:
        """Take one input of the record; return its fills, each with the signed position before it."""
        found = []
        for event in row.events:
            if isinstance(event, OrderFilled | OrderPartiallyFilled):
                found.append((event, self.held[event.symbol]))
                self.filled(event)
            elif isinstance(event, CashFlowed):
                self.cash += Fraction(event.amount, SHARE)
            elif isinstance(event, FinancingCharged):
                self.charged += Fraction(event.amount, SHARE)
                self.cash -= Fraction(event.amount, SHARE)
        if isinstance(row.body, BarPanel):
            for symbol, px in zip(row.body.ids.tolist(), row.body.close_fx.tolist(), strict=True):
                self.closes[symbol] = Fraction(px, SHARE)
        self.traded.clear()
        return found

    def filled(self, event: Fill) -> None:
        """Book a fill: a whole share's price is a whole number of units, so nothing is rounded."""
        qty, px = Fraction(event.last_qty, SHARE), Fraction(event.last_px, SHARE)
        self.cash -= event.side * qty * px + Fraction(event.commission + event.regulatory, SHARE)
        self.held[event.symbol] += event.side * qty
        self.traded[event.symbol] = Fraction(event.ref_px, SHARE)
        self.fills += 1
        self.check(event)

    def check(self, event: Fill) -> None:
        """Look at the account as a fill left it; the auditors of an account type say what must hold."""

    def price(self, symbol: int) -> Fraction:
        """Return the market price of this instant's fills of a symbol, or its last close."""
        return self.traded.get(symbol) or self.closes[symbol]

    def equity(self) -> Fraction:
        """Return cash and positions at these prices."""
        return self.cash + sum(qty * self.price(symbol) for symbol, qty in enumerate(self.held))


def least_to_keep(qty: Fraction, px: Fraction) -> Fraction:
    """FINRA Rule 4210(c): a quarter long; short $5 or 30 %, below $5 a share $2.50 or all of it."""
    if qty >= 0:
        return qty * px / 4
    return -qty * (max(px, Fraction(5, 2)) if px < 5 else max(px * 3 / 10, Fraction(5)))


def least_to_open(qty: Fraction, px: Fraction) -> Fraction:
    """Regulation T: half, and no less than it takes to keep."""
    return max(abs(qty) * px / 2, least_to_keep(qty, px) if qty < 0 else Fraction(0))
