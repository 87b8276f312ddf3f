"""A synthetic run, built from messages by hand: prices from a seeded generator, money that adds up."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from actors.messages.alerts import AlertRaised, Severity
from actors.messages.columns import pack_f64, pack_i32, pack_i64
from actors.messages.inference import PredictionsScored
from actors.messages.orders import OrderAccepted, OrderDenied, OrderFilled, SubmitOrder
from actors.messages.portfolio import (
    CashFlowed,
    EquityMarked,
    PositionChanged,
    SessionRolled,
    SignalsReady,
    TargetsProposed,
    TradeClosed,
)
from actors.messages.risk import TradingState, TradingStateChanged
from actors.reporter.benchmarks import CostRates
from actors.reporter.record import IndexSeries, RunRecord
from actors.values.fixed import SCALE, mul
from actors.values.universe import Adjustment, Universe
from daemon.journal.journal import StoredFrame

COMMISSION = 100_000  # 0.1 %
Run = tuple[RunRecord, list[StoredFrame]]


def sessions_from(start: date, count: int) -> list[date]:
    """Weekdays from ``start`` on."""
    days = [start + timedelta(days=i) for i in range(count * 7 // 5 + 7)]
    return [d for d in days if d.weekday() < 5][:count]


def stamp(day: date, hour: int) -> int:
    """Nanoseconds of a full hour UTC."""
    return int(datetime(day.year, day.month, day.day, hour, tzinfo=UTC).timestamp()) * 10**9


class Synthetic:
    """Trades the best-scored symbols weekly at the close, in whole shares."""

    def __init__(self, sessions: int, symbols: int, seed: int, edge: float) -> None:
        rng = np.random.default_rng(seed)
        self.days = sessions_from(date(2015, 1, 2), sessions)
        self.dates = np.array([d.year * 10_000 + d.month * 100 + d.day for d in self.days])
        market = rng.normal(0.0004, 0.008, (sessions, 1))
        noise = rng.normal(0.0, 0.012, (sessions, symbols))
        self.closes = np.round(50.0 * np.cumprod(1.0 + market + noise, axis=0), 2)
        self.index = 2000.0 * np.cumprod(1.0 + market[:, 0])
        self.n = symbols
        nxt = np.vstack((noise[1:], np.zeros((1, symbols))))
        self.scores = np.clip(np.tanh(40 * edge * nxt + rng.normal(0, 0.5, (sessions, symbols))), -1, 1)
        self.frames: list[StoredFrame] = []
        self.cash = 100_000 * SCALE
        self.held: dict[int, tuple[int, int, int]] = {}
        self.peak = self.cash
        self.number = 0

    def frame(self, ts: int, events: list[Any]) -> None:
        """Commit events under the next number."""
        self.frames.append(StoredFrame(len(self.frames) + 1, ts, ts, "test", None, events, [-1] * len(events)))

    def trade(self, t: int, symbol: int, side: int, qty: int) -> list[Any]:
        """Buy or sell at the close, with spread, slippage and commission."""
        self.number += 1
        ref = round(self.closes[t, symbol] * SCALE)
        px = ref + side * ref * 6 // 10_000  # 1 bp of spread and 5 bps of slippage
        fee = mul(mul(px, qty), COMMISSION)
        order = SubmitOrder(
            f"m-{self.number}", "main", symbol, side, qty, strategy="m", confidence=0.7, reason="signal"
        )
        value = mul(px, qty)
        self.cash -= side * value + fee
        slip = mul(ref, qty) // 2000
        fill = OrderFilled(
            f"o{self.number}", order.client_order_id, f"o{self.number}-1", "main", symbol, side, qty, px, ref, qty, 0,
            px, fee, 0, mul(ref, qty) // 10_000, slip, 0, "close", "taker", "m", "signal", "", 0.7, False,
        )  # fmt: skip
        entry = self.held.get(symbol)
        realized = 0
        events: list[Any] = [OrderAccepted(f"o{self.number}", order, 0), fill]
        ts = stamp(self.days[t], 21)
        if side > 0:
            self.held[symbol] = (qty, px, ts)
        else:
            assert entry is not None
            realized = mul(px - entry[1], qty)
            del self.held[symbol]
            pnl = realized - 2 * fee
            ret = round(pnl / mul(entry[1], qty), 9)
            trade = TradeClosed(
                "main", f"l{self.number}", symbol, 1, qty, entry[2], entry[1], ts, px, 2 * fee, pnl, ret,
                min(ret, -0.01), max(ret, 0.01), 0.7, "signal" if self.number % 3 else "stop_loss", "m",
            )  # fmt: skip
            events.append(trade)
        qty_after = qty if side > 0 else 0
        cost = mul(px, qty) if side > 0 else 0
        change = PositionChanged(
            "main", fill.exec_id, symbol, qty_after, cost, realized, realized, self.cash, None, (), ()
        )
        return [*events, change]

    def rebalance(self, t: int) -> list[Any]:
        """Hold the eight best scores."""
        events: list[Any] = []
        wanted = np.argsort(-self.scores[t])[:8].tolist()
        for symbol in sorted(self.held):
            if symbol not in wanted:
                events += self.trade(t, symbol, -1, self.held[symbol][0])
        for symbol in wanted:
            if symbol not in self.held:
                shares = int(11_000 / self.closes[t, symbol])
                if shares and self.cash > 11_200 * SCALE:
                    events += self.trade(t, symbol, 1, shares * SCALE)
        return events

    def signals(self, t: int) -> list[Any]:
        """Publish the scores of a close."""
        ids = np.arange(self.n, dtype=np.int32)
        score = self.scores[t]
        ready = SignalsReady(
            "m", t + 1, "1d", pack_i32(ids), pack_f64(score), pack_f64(np.abs(score)),
            pack_f64(0.5 + 0.2 * score), pack_i64(np.round(self.closes[t] * SCALE).astype(np.int64)),
            expected_bps=pack_f64(score * 20), model="net@1",
        )  # fmt: skip
        cut = TargetsProposed("main", "m", t + 1, pack_i32([0]), pack_f64([0.1]), 3, 1, "schedule")
        return [ready, cut]

    def run(self, halt: tuple[int, int | None] | None) -> list[StoredFrame]:
        """Tell the whole story; no trades while halted."""
        start = stamp(self.days[0], 14)
        self.frame(start, [CashFlowed("main", self.cash, "start", self.cash, ())])
        quiet = False
        for t, day in enumerate(self.days):
            ts = stamp(day, 21)
            events: list[Any] = []
            if halt is not None and t == halt[0]:
                quiet = True
                change = TradingStateChanged(TradingState.ACTIVE, TradingState.HALTED, "drawdown 21 %", "risk", True)
                events.append(change)
            if halt is not None and t == halt[1]:
                quiet = False
                change = TradingStateChanged(TradingState.HALTED, TradingState.ACTIVE, "replay", "risk", False)
                events.append(change)
            if t >= 60 and t % 5 == 0 and not quiet:
                events += self.rebalance(t)
            if t % 97 == 50:
                order = SubmitOrder(f"d-{t}", "main", -1, 1, SCALE, strategy="m", symbol_text="X,Y")
                code = "CONFIDENCE" if t % 2 else "UNKNOWN_SYMBOL"
                events.append(OrderDenied(order, code, 'not "known", or so'))
            gross = sum(mul(round(self.closes[t, s] * SCALE), h[0]) for s, h in self.held.items())
            equity = self.cash + gross
            self.peak = max(self.peak, equity)
            events.append(EquityMarked("main", equity, self.cash, gross, gross))
            drawdown = round(equity / self.peak - 1, 9)
            rolled = SessionRolled("main", int(self.dates[t]), equity, self.cash, gross, gross, 0, self.peak, drawdown)
            events.append(rolled)
            if t:
                realized = self.closes[t] / self.closes[t - 1] - 1
                ids = pack_i32(np.arange(self.n))
                scored = PredictionsScored("net@1", t, "1d", ids, pack_f64(realized), pack_f64(realized))
                events.append(scored)
            events += self.signals(t)
            self.frame(ts, events)
        return self.frames


@pytest.fixture(scope="session")
def make_run() -> Callable[..., Run]:
    """Return a builder of runs: sessions, symbols, seed, edge of the scores, and a halt (from, until or None)."""

    def build(
        sessions: int = 300,
        symbols: int = 20,
        seed: int = 1,
        edge: float = 0.6,
        halt: tuple[int, int | None] | None = None,
    ) -> Run:
        synthetic = Synthetic(sessions, symbols, seed, edge)
        frames = synthetic.run(halt)
        names = tuple(f"S{i:03d}" for i in range(symbols))
        record = RunRecord(
            version="0.1.0",
            seed=7,
            config={"broker": {"commission_rate": 0.001}},
            config_digest="c" * 64,
            universe=Universe(names, tuple(f"sector {i % 4}" for i in range(symbols)), (), Adjustment.TOTAL),
            event_digest="e" * 64,
            session_dates=synthetic.dates,
            session_closes=synthetic.closes,
            session_opens=synthetic.closes,
            digests={"prices.csv.gz": "d" * 64},
            data_label="synthetic prices",
            portfolios=(("main", "100000"),),
            strategies=("m",),
            command="tradingd demo --seed 7",
            started="2026-01-01T00:00:00.000Z",
            ended="2026-01-01T00:00:09.000Z",
            index=IndexSeries("S&P 500", synthetic.dates, synthetic.index),
            costs=CostRates(0.001, 0.0005, 0.00015),
            gates=(0.65, 0.60),
            alerts=tuple(
                AlertRaised(
                    f"a{t}", "loss", stamp(synthetic.days[t], 21), Severity.WARNING if t % 2 else Severity.CRITICAL,
                    f"Day loss of {t % 7} %", (("equity", "99000.5"), ("loss", "0.021")), "entries blocked",
                )
                for t in range(70, sessions, 111)
            ),
            notices=("column vwap was ignored",),
            quality={"bars": sessions * symbols, "non_finite": 0, "duplicate_timestamps": 2},
            survivorship=True,
            close_only=True,
            volume_known=False,
        )  # fmt: skip
        return record, frames

    return build
