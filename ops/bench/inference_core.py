"""The core of ``inference.py``: steps of 500 symbols at a steady pace; ``python ops/bench/inference_core.py SECONDS``.

One panel of bars each 5 ms through all stages of the core: broker, portfolio, risk, predictor with a momentum strategy.
Tells p50, p99 and the longest of the steps, and of how late the process woke up for them.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT)]

import numpy as np  # noqa: E402 - run as a script

from actors.broker.params import BrokerParams  # noqa: E402
from actors.messages.market import BarPanel, SessionOpened  # noqa: E402
from actors.messages.portfolio import DepositCash  # noqa: E402
from actors.portfolio.params import PortfolioSpec  # noqa: E402
from actors.predictor.registry import bind  # noqa: E402
from actors.risk.params import RiskLimits  # noqa: E402
from actors.values import Session, Universe, parse_interval  # noqa: E402
from daemon.journal.memory import MemoryJournal  # noqa: E402
from daemon.kernel.clock import VirtualClock  # noqa: E402
from daemon.system.composition import CoreSpec, build_core  # noqa: E402

SYMBOLS = 500
PACE_S = 0.005
MINUTE = 60 * 10**9
OPEN = 1_577_975_400 * 10**9  # 2020-01-02 14:30 UTC
CASH = 1_000_000 * 10**8


def quantiles(times: list[float]) -> dict[str, float]:
    """Return p50, p99 and the longest, microseconds."""
    times = sorted(times)
    return {"p50": times[len(times) // 2], "p99": times[int(0.99 * len(times))], "max": times[-1]}


def main(seconds: float) -> None:
    """Step so long."""
    names = tuple(f"S{n:03d}" for n in range(SYMBOLS))
    binding = bind("momentum", {})
    spec = CoreSpec(
        universe=Universe(names),
        interval=parse_interval("1m"),
        bindings=(binding,),
        decision_interval=None,
        broker=BrokerParams(),
        limits=RiskLimits(replay=False),
        portfolios=(PortfolioSpec("main", CASH, strategies=(binding.name,)),),
        seed=1,
    )
    clock = VirtualClock()
    journal = MemoryJournal()
    core = build_core(spec, clock=clock, sink=journal)
    session = Session(20200102, OPEN, OPEN + 390 * MINUTE, 0)
    clock.advance_to(OPEN)
    core.sequencer.process(DepositCash("main", CASH, "opening deposit"), "control")
    core.sequencer.process(SessionOpened(OPEN, session), "feed")
    rng = np.random.default_rng(1)
    ids = np.arange(SYMBOLS, dtype=np.int32)
    px = np.full(SYMBOLS, 100.0)
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    steps: list[float] = []
    late: list[float] = []
    began = due = time.perf_counter()
    number = 0
    while time.perf_counter() - began < seconds:
        due += PACE_S
        left = due - time.perf_counter()
        if left > 0:
            time.sleep(left)
            late.append((time.perf_counter() - due) * 1e6)
        else:
            due = time.perf_counter()
        start = OPEN + number * 10**9  # a bar a second: there are more steps than a session has minutes
        close = np.round(px * np.exp(rng.normal(scale=1e-4, size=SYMBOLS)), 2)
        volume = np.full(SYMBOLS, 1e6)
        panel = BarPanel(
            ts=start + 10**9,
            start_ts=start,
            session=session.date,
            daily=False,
            ids=ids,
            dense=True,
            open=px,
            high=np.maximum(px, close),
            low=np.minimum(px, close),
            close=close,
            close_fx=np.rint(close * 1e8).astype(np.int64),
            volume=volume,
        )
        px = close
        number += 1
        clock.advance_to(panel.ts)
        at = time.perf_counter()
        core.sequencer.process(panel, "feed")
        steps.append((time.perf_counter() - at) * 1e6)
    print(
        json.dumps({"steps": len(steps), "step_us": quantiles(steps[len(steps) // 10 :]), "late_us": quantiles(late)})
    )


if __name__ == "__main__":
    main(float(sys.argv[1]))
