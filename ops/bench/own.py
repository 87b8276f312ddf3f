"""Driver of this program: the job through all its real actors, with the risk gate on and a durable ledger.

What is timed is what a replay does between reading the file and writing the report: the feed's panels, every stage of
the core, the alerter, the ledger with its commits, and closing it. ``tradingd replay --durable`` does the same; its
own load, replay and report are measured once through the call that the command line makes.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent)]

import job  # noqa: E402

from actors.alerter.actor import AlerterActor  # noqa: E402
from actors.feed.history import History, HistorySpec, open_history  # noqa: E402
from actors.messages.catalogue import codec  # noqa: E402
from actors.messages.portfolio import DepositCash  # noqa: E402
from actors.predictor.registry import bind  # noqa: E402
from config.params import alert_params, broker_params, portfolio_specs, strategy_requests  # noqa: E402
from config.risk_params import risk_limits  # noqa: E402
from config.settings import Settings, settings_digest  # noqa: E402
from config.sources import load_settings  # noqa: E402
from daemon.journal.journal import Manifest  # noqa: E402
from daemon.journal.sqlite import SqliteJournal, open_readonly, read_frames  # noqa: E402
from daemon.kernel.clock import VirtualClock  # noqa: E402
from daemon.system.composition import CoreSpec, build_core  # noqa: E402
from daemon.system.engine import ReplayEngine, Tee  # noqa: E402
from daemon.system.options import ReplayOptions  # noqa: E402
from daemon.system.replay import run_replay  # noqa: E402

STRATEGY = f"{HERE / 'strategy.py'}:sma_cross"


def settings_for(symbols: int, every: int = 1) -> Settings:
    """Return the job as a configuration: no costs, no exits of their own, every check of the gate in force.

    Limits are wide enough for the job and finite, so that the checks compute and compare; the loss breakers watch every
    mark and lie where the job does not come. A target is missed by less than half a position before it is corrected,
    as the other contenders do not correct at all.
    """
    share = job.INVESTED / symbols
    cash = job.CASH_PER_SYMBOL * symbols
    sets = [
        f"portfolio.cash={cash}",
        "portfolio.rebalance=signal",
        f"portfolio.max_positions={symbols}",
        f"risk.min_order_value={job.CASH_PER_SYMBOL // 2}",
        f"risk.max_order_value={cash}",
        "risk.max_order_fraction=1",
        "risk.max_order_qty=1000000",
        f"risk.max_position={min(0.5, max(0.01, 3 * share)):.4f}",
        f"risk.max_positions={symbols}",
        "risk.price_collar=0.1",
        "risk.min_confidence_buy=0.65",
        "risk.min_confidence_sell=0.6",
        "risk.cash_reserve=1.02",
        "risk.stale_ms=5000",
        "risk.stale_sessions=1",
        "risk.duplicate_window_ms=1000",
        "risk.require_reference=true",
        "risk.daily_loss_warn=0.4",
        "risk.daily_loss_block=0.45",
        "risk.daily_loss_halt=0.5",
        "risk.max_drawdown=0.9",
    ]
    flags = {
        ("predictor", "strategies"): ([STRATEGY], "benchmark"),
        ("predictor", "params"): ({"sma_cross": {"fast": job.FAST, "slow": job.SLOW, "every": every}}, "benchmark"),
    }
    settings = load_settings(file=None, profile="frictionless", sets=sets, environ={}, flags=flags).settings
    # A five-hundredth is a smaller weight than people may configure, so it is put in behind the validation.
    portfolio = settings.portfolio[0].model_copy(update={"max_weight": Decimal(f"{share:.8f}")})
    return settings.model_copy(update={"portfolio": (portfolio,)})


def spec_for(history: History, settings: Settings) -> CoreSpec:
    """Return the core of the job."""
    bindings = {request.reference: bind(request.reference, request.params) for request in strategy_requests(settings)}
    return CoreSpec(
        universe=history.universe,
        interval=history.interval,
        bindings=tuple(bindings.values()),
        decision_interval=None,
        broker=broker_params(settings),
        limits=risk_limits(settings, replay=True),
        portfolios=portfolio_specs(settings, {ref: b.name for ref, b in bindings.items()}),
        seed=1,
    )


def replay(history: History, settings: Settings, ledger: Path, *, durable: bool) -> str:
    """Replay once into a new ledger; return the event digest."""
    spec = spec_for(history, settings)
    manifest = Manifest("benchmark", "0", "replay", spec.seed, {}, settings_digest(settings), {}, {}, "")
    journal = SqliteJournal(ledger, manifest, codec(), durable=durable)
    alerter = AlerterActor(history.universe, alert_params(settings))
    clock = VirtualClock()
    core = build_core(spec, clock=clock, sink=Tee(journal, [alerter]), on_quarantine=journal.quarantine)
    deposits = [DepositCash(p.name, p.cash, "opening deposit") for p in spec.portfolios]
    engine = ReplayEngine(core.sequencer, clock, deposits=deposits, taps=[alerter])
    engine.run(history.inputs(), total=history.n_instants)
    digest = core.sequencer.digest.hex()
    journal.close("ended", digest)
    return digest


def count_events(ledger: Path) -> Counter[str]:
    """Return how often each event stands in a ledger."""
    db = open_readonly(ledger)
    try:
        return Counter(type(event).__name__ for frame in read_frames(db, codec()) for event in frame.events)
    finally:
        db.close()


def measure(path: Path, *, every: int, repeats: int, durable: bool) -> job.Result:
    """Measure the replay of one file."""
    begun = time.perf_counter()
    history = open_history(HistorySpec(bars=(str(path),), adjustment=None))
    result = job.Result(load=time.perf_counter() - begun)
    settings = settings_for(len(history.universe), every)
    digests: dict[str, None] = {}
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        for repeat in range(repeats + 1):  # the first one warms up: imports, caches of parsed texts
            ledger = Path(folder, f"{repeat}.db")
            wall, cpu = time.perf_counter(), time.process_time()
            digests[replay(history, settings, ledger, durable=durable)] = None
            if repeat:
                result.wall.append(time.perf_counter() - wall)
                result.cpu.append(time.process_time() - cpu)
        events = count_events(ledger)
    result.fills = events["OrderFilled"] + events["OrderPartiallyFilled"]
    result.facts = {
        "instants": history.n_instants,
        "bars": history.n_bars,
        "sessions": len(history.sessions),
        "orders": events["OrderAccepted"] + events["OrderDenied"] + events["OrderRejected"],
        "denied": events["OrderDenied"],
        "events": sum(events.values()),
        "digests": list(digests),
    }
    return result


def phases(path: Path, symbols: int) -> dict[str, float]:
    """Return seconds of load, replay and report of one complete run, as the command line makes it."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        options = ReplayOptions(out=Path(folder, "run"), bars=(path,), durable=True)
        return dict(run_replay(options, settings_for(symbols)).phases)


def main() -> None:
    """Measure one file and print one line of JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--bars", required=True, type=Path)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--fast-ledger", action="store_true", help="without fsync, as a replay writes by default")
    parser.add_argument("--phases", type=int, default=0, metavar="SYMBOLS", help="measure a complete run instead")
    arguments = parser.parse_args()
    answer: dict[str, Any]
    if arguments.phases:
        answer = phases(arguments.bars, arguments.phases)
    else:
        durable = not arguments.fast_ledger
        answer = asdict(measure(arguments.bars, every=arguments.every, repeats=arguments.repeats, durable=durable))
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
