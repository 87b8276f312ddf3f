"""Driver of this program for the order benchmark: gate, broker, portfolio and the durable ledger, in replay.

Two ways in. ``script``: every order and every cancel is an input of its own, with its own row in the ledger, as
``tradingd replay --orders FILE --durable`` makes them. ``decision``: an actor behind the four rooms sends all of a
bar's orders at once, as a strategy's decision does; one row holds them all. Limits of size, price, position, cash and
loss are in force; what the others add to an order is ``risk.py``'s business.

What is timed: the replay engine over bars and orders, all rooms, the alerter, encoding, the hash chain, SQLite in WAL
with ``synchronous=FULL`` and a commit for 500 rows, and closing the ledger.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent)]

import msgspec  # noqa: E402
import numpy as np  # noqa: E402
import order_job as job  # noqa: E402
import own  # noqa: E402

from actors.alerter.actor import AlerterActor  # noqa: E402
from actors.messages.catalogue import codec  # noqa: E402
from actors.messages.market import BarPanel, SessionClosed, SessionOpened  # noqa: E402
from actors.messages.orders import BUY, SELL, CancelOrder, OrderType, SubmitOrder, TimeInForce  # noqa: E402
from actors.messages.portfolio import DepositCash  # noqa: E402
from actors.values import Session, Universe, parse_interval  # noqa: E402
from config.params import alert_params, broker_params, portfolio_specs  # noqa: E402
from config.risk_params import risk_limits  # noqa: E402
from config.settings import settings_digest  # noqa: E402
from daemon.journal.journal import Manifest  # noqa: E402
from daemon.journal.sqlite import SqliteJournal, open_readonly  # noqa: E402
from daemon.kernel.actor import Context, CoreActor, decides  # noqa: E402
from daemon.kernel.clock import VirtualClock  # noqa: E402
from daemon.kernel.message import Command, Market  # noqa: E402
from daemon.kernel.sequencer import Sequencer  # noqa: E402
from daemon.system.composition import CoreSpec, build_core  # noqa: E402
from daemon.system.engine import ReplayEngine, Tee  # noqa: E402
from daemon.system.script import Rank, ScriptLine  # noqa: E402

WAYS = ("script", "decision")
SCALE = 10**8
PORTFOLIO = "main"


def _date(ts: int) -> int:
    """Return the date of a stamp as YYYYMMDD."""
    return int(datetime.fromtimestamp(ts // 10**9, UTC).strftime("%Y%m%d"))


def spec_for(symbols: int) -> tuple[CoreSpec, str]:
    """Return the core of the replay benchmark without its strategy, and the digest of its settings."""
    settings = own.settings_for(symbols)
    (portfolio,) = portfolio_specs(settings, {own.STRATEGY: "sma_cross"})
    spec = CoreSpec(
        universe=Universe(tuple(f"S{k:03d}" for k in range(symbols))),
        interval=parse_interval("1m"),
        bindings=(),
        decision_interval=None,
        broker=broker_params(settings),
        limits=risk_limits(settings, replay=True),
        portfolios=(msgspec.structs.replace(portfolio, name=PORTFOLIO, strategies=()),),
        seed=1,
    )
    return spec, settings_digest(settings)


def bars(sessions: list[int], symbols: int) -> list[Market]:
    """Return sessions of minute bars, each of them the same for every symbol."""
    ids = np.arange(symbols, dtype=np.int32)
    volume = np.full(symbols, 1e6)
    low, high = np.full(symbols, job.OPEN_PX), np.full(symbols, job.CLOSE_PX)
    fixed = np.rint(high * SCALE).astype(np.int64)
    found: list[Market] = []
    for number, minutes in enumerate(sessions):
        opens = job.OPEN_NS + number * job.DAY_NS
        session = Session(_date(opens), opens, opens + minutes * job.MINUTE_NS, number)
        found.append(SessionOpened(opens, session))
        for minute in range(minutes):
            start = opens + minute * job.MINUTE_NS
            found.append(
                BarPanel(
                    ts=start + job.MINUTE_NS,
                    start_ts=start,
                    session=session.date,
                    daily=False,
                    ids=ids,
                    dense=True,
                    open=low,
                    high=high,
                    low=low,
                    close=high,
                    close_fx=fixed,
                    volume=volume,
                )
            )
        found.append(SessionClosed(session.close_ts, session))
    return found


class Orders:
    """Makes the orders of one decision after the other."""

    def __init__(self, shape: str, symbols: int, ends: frozenset[int]) -> None:
        """Begin at the first decision; nothing is sent at the stamps of ``ends``."""
        self._make = self._rest if shape == "rest" else self._fill
        self._symbols = range(symbols)
        self._ends = ends
        self._decision = 0
        self._open: list[str] = []
        self.orders = 0

    def at(self, panel: BarPanel) -> list[Command]:
        """Return what is sent at a bar; with a session's last one only what rests is cancelled."""
        found: list[Command] = [CancelOrder(name, "script") for name in self._open]
        self._open = []
        if panel.ts in self._ends:
            return found
        found += self._make()
        self._decision += 1
        self.orders += len(self._symbols)
        return found

    def _rest(self) -> list[SubmitOrder]:
        names = self._open = [f"r{self._decision}-{symbol}" for symbol in self._symbols]
        qty, px, limit, gtc = job.QTY * SCALE, int(job.LIMIT) * SCALE, OrderType.LIMIT, TimeInForce.GTC
        return [
            SubmitOrder(name, PORTFOLIO, symbol, BUY, qty, limit, gtc, px, reason="script")
            for symbol, name in enumerate(names)
        ]

    def _fill(self) -> list[SubmitOrder]:
        qty, side, prefix = job.QTY * SCALE, SELL if self._decision % 2 else BUY, f"f{self._decision}-"
        return [SubmitOrder(f"{prefix}{s}", PORTFOLIO, s, side, qty, reason="script") for s in self._symbols]


class Trader(CoreActor):
    """Sends a bar's orders at once. Its only state is which comes next, which no recovery asks for here."""

    name = "trader"
    sends: ClassVar[tuple[type[Command], ...]] = (SubmitOrder, CancelOrder)

    def __init__(self, orders: Orders) -> None:
        """Take the orders to send."""
        self._orders = orders

    @decides(BarPanel)
    def trade(self, panel: BarPanel, ctx: Context) -> None:
        """Send."""
        ctx.out += self._orders.at(panel)


def scripted(inputs: list[Market], orders: Orders) -> Iterator[ScriptLine]:
    """Return every command as a line of a script, dated at its bar's end."""
    number = 0
    for panel in inputs:
        if isinstance(panel, BarPanel):
            for command in orders.at(panel):
                number += 1
                yield ScriptLine(number, panel.ts, None, command, Rank.PREDICTION)


def arrange(
    shape: str, way: str, sessions: list[int], symbols: int, ledger: Path, *, durable: bool = True
) -> Callable[[], dict[str, Any]]:
    """Build a core with a new ledger; return what runs it and counts."""
    spec, digest = spec_for(symbols)
    inputs = bars(sessions, symbols)
    orders = Orders(shape, symbols, job.ends(sessions))
    script = list(scripted(inputs, orders)) if way == "script" else []
    manifest = Manifest("benchmark", "0", "replay", spec.seed, {}, digest, {}, {}, "")
    journal = SqliteJournal(ledger, manifest, codec(), durable=durable)
    alerter = AlerterActor(spec.universe, alert_params(own.settings_for(symbols)))
    clock = VirtualClock()
    sink = Tee(journal, [alerter])
    core = build_core(spec, clock=clock, sink=sink, on_quarantine=journal.quarantine)
    sequencer = core.sequencer
    if way == "decision":
        rooms = (core.broker, core.portfolio, core.risk, core.predictor, Trader(orders))
        sequencer = Sequencer(
            rooms, codec=codec(), clock=clock, sink=sink, seed=spec.seed, on_quarantine=journal.quarantine
        )
    deposits = [DepositCash(p.name, p.cash, "opening deposit") for p in spec.portfolios]
    engine = ReplayEngine(sequencer, clock, deposits=deposits, script=script, taps=[alerter])

    def run() -> dict[str, Any]:
        engine.run(iter(inputs))
        journal.close("ended", sequencer.digest.hex())
        return {
            "orders": orders.orders,
            "inputs": sequencer.seq,
            "events": sequencer.events_total,
            "digest": sequencer.digest.hex(),
        }

    return run


def counted(ledger: Path) -> dict[str, int]:
    """Return what a ledger holds: rows, bytes, and how often each event of an order."""
    kinds: Counter[str] = own.count_events(ledger)
    db = open_readonly(ledger)
    try:
        (rows,) = db.execute("SELECT count(*) FROM frame").fetchone()
    finally:
        db.close()
    names = ("OrderAccepted", "OrderCanceled", "OrderFilled", "OrderDenied", "OrderRejected")
    return {name: kinds[name] for name in names} | {"rows": rows, "bytes": ledger.stat().st_size}


def main() -> None:
    """Measure one shape and print one line of JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--way", choices=WAYS, required=True)
    parser.add_argument("--fast-ledger", action="store_true", help="without fsync, as a replay writes by default")
    parser.add_argument("--keep", type=Path, help="keep the last repeat's ledger there")
    told = job.arguments(parser)
    sessions = job.sessions_for(told.orders, told.symbols)
    with tempfile.TemporaryDirectory(dir=None if told.keep is None else told.keep.parent) as folder:
        paths = [Path(folder, f"{n}.db") for n in range(told.repeats + 1)]
        arrange(told.shape, told.way, sessions[:1], told.symbols, paths.pop())()  # warms up
        queue = iter(paths)

        def ready() -> Callable[[], dict[str, Any]]:
            return arrange(told.shape, told.way, sessions, told.symbols, next(queue), durable=not told.fast_ledger)

        outcome = job.measure(ready, told.repeats)
        outcome.facts |= counted(paths[-1])
        if told.keep is not None:
            paths[-1].replace(told.keep)
    job.tell(outcome)


if __name__ == "__main__":
    main()
