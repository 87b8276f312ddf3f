"""What the gate costs an order with every check on, and what renewing the measures costs.

    python ops/bench/risk.py              # a minute
    python ops/bench/risk.py --quick      # shows that it works
    python ops/bench/risk.py --json       # figures instead of tables

*Gate.* The world of ``risk_world.py``: 20 positions, 100 working orders, quotes, sectors, 260 sessions of history, the
``plan`` profile with every limit on that it leaves off. One call of the gate is timed at a time, in rounds; of each
figure the smallest of all rounds is told, because what other programs do on the machine only ever adds. The cost of
reading the clock is measured the same way and taken off. Beside it: twelve comparisons of integers in a function.

*Quiet* is judging alone. *Behind a quote* is the first order after a price has changed, *behind an acceptance* that
after another order was accepted and cancelled: then what is kept between orders has to be brought up to date.

*Measures.* ``basis`` (once a session, and when other symbols are held) and ``measure`` (value at risk and expected
shortfall by three methods and both horizons, exposures, sectors, parts, use of limits, stress), CPU time, beside what
bare numpy takes for one product of returns and weights with its 95 % quantile, and for ``numpy.corrcoef``.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
# A second thread of BLAS would count its waiting as CPU time; set before numpy is imported.
os.environ |= dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
sys.path[:0] = [str(HERE), str(HERE.parent.parent)]

import numpy as np  # noqa: E402
import table  # noqa: E402
from risk_world import World  # noqa: E402

from actors.messages.limits import RiskLimits  # noqa: E402
from actors.messages.orders import CancelOrder  # noqa: E402
from actors.risk.correlation import matrix  # noqa: E402
from actors.risk.limits import compiled  # noqa: E402
from actors.risk.measures import Facts, Measures, basis, measure  # noqa: E402
from actors.risk.track import Day  # noqa: E402
from actors.values import Universe  # noqa: E402
from daemon.system.board_measures import DRAWS  # noqa: E402
from daemon.system.scenarios import load_scenarios  # noqa: E402

P50_US, P99_US = 1.0, 5.0
"""What the plan of the house asks of the gate."""
WANTED_MS = {"500 x 500": 1.0, "10,000 x 500": 5.0, "correlation of 500": 1.5}

Call = Callable[[], Any]


def twelve(a: int, b: int, c: int, limit: int) -> bool:
    """Compare twelve times; nothing is over."""
    return (
        a > limit or b > limit or c > limit or a > limit or b > limit or c > limit
        or a > limit or b > limit or c > limit or a > limit or b > limit or c > limit
    )  # fmt: skip


# -- the gate ------------------------------------------------------------------------------------------------------


class Timed:
    """Times calls one by one; keeps the smallest median and the smallest 99th percentile of all rounds, microseconds.

    Attributes:
        p50, p99: the clock's own median is taken off.
        cpu: CPU time of a call with everything around it, the smallest of all rounds.
        rounds: so many.
    """

    def __init__(self, clock_us: float = 0.0) -> None:
        """Begin; ``clock_us`` is what reading the clock costs."""
        self._clock = clock_us
        self.p50 = self.p99 = self.cpu = float("inf")
        self.rounds = 0

    def round(self, calls: Sequence[Call], between: Call | None = None) -> None:
        """Time each of ``calls`` once, doing something unmeasured before each where it is given."""
        clock = time.perf_counter_ns
        taken = []
        cpu = time.process_time()
        for call in calls:
            if between is not None:
                between()
            begin = clock()
            call()
            taken.append(clock() - begin)
        cpu = time.process_time() - cpu
        taken.sort()
        n = len(taken)
        self.p50 = min(self.p50, taken[n // 2] / 1e3 - self._clock)
        self.p99 = min(self.p99, taken[n * 99 // 100] / 1e3 - self._clock)
        if between is None:
            self.cpu = min(self.cpu, cpu * 1e6 / n)
        self.rounds += 1

    def told(self) -> dict[str, float | None]:
        """Return the figures."""
        return {"p50_us": self.p50, "p99_us": self.p99, "cpu_us": self.cpu if self.cpu < float("inf") else None}


def nothing() -> None:
    """Do nothing."""


def calls_of(world: World, orders: int) -> dict[str, list[Call]]:
    """Return what is measured: a call of the gate for each order. Every verdict is looked at once: all must pass."""
    gate, now = world.gate, world.now
    kinds: dict[str, list[Call]] = {
        "market entry": [partial(gate.judge_new, order, now) for order in world.market(orders)],
        "limit entry": [partial(gate.judge_new, order, now) for order in world.limit(orders)],
        "exit": [partial(gate.judge_new, order, now) for order in world.exits(orders)],
        "replace": [partial(gate.judge_replace, w, qty, px, None, now) for w, qty, px in world.replaces(orders)],
    }
    for name, calls in kinds.items():
        refused = [verdict for call in calls if not isinstance(verdict := call(), int)]
        if refused:
            message = f"{name}: {refused[0]}"
            raise AssertionError(message)
    return kinds


def disturbances(world: World) -> dict[str, Call]:
    """Return by name what may happen between two orders."""
    turn = [0]

    def quote() -> None:
        turn[0] += 1
        world.quote(turn[0] % 20)

    def acceptance() -> None:
        turn[0] += 1
        world.quote(after_ms=100)  # so that no more are sent in a second than may be
        world.put(CancelOrder(world.submit(turn[0] % 20, 1, 100), "operator"))

    return {"behind a quote": quote, "behind an acceptance": acceptance}


def gate_figures(account: str, orders: int, rounds: int) -> dict[str, Any]:
    """Measure the gate in a world of this account."""
    world = World(account)
    clock = Timed()
    bare = [partial(twelve, 1, 2, 3, 1000)] * orders
    for _ in range(rounds):
        clock.round([nothing] * orders)
    kinds = calls_of(world, orders)
    rows = {"twelve comparisons": Timed(clock.p50)} | {f"{kind}, quiet": Timed(clock.p50) for kind in kinds}
    gc.collect()
    gc.freeze()
    for _ in range(rounds):
        rows["twelve comparisons"].round(bare)
        for kind, calls in kinds.items():
            rows[f"{kind}, quiet"].round(calls)
    for what, happens in disturbances(world).items():
        row = rows[f"market entry, {what}"] = Timed(clock.p50)
        for _ in range(rounds):
            made = world.market(max(orders // 10, 20))
            row.round([partial(_judge_now, world, order) for order in made], between=happens)
    gc.unfreeze()
    return {"clock_us": clock.p50} | {name: row.told() for name, row in rows.items()}


def _judge_now(world: World, order: Any) -> Any:
    """Judge at the world's present instant, which quotes move on."""
    return world.gate.judge_new(order, world.now)


# -- measures ------------------------------------------------------------------------------------------------------


def smallest_ms(work: Call, rounds: int) -> float:
    """Return the smallest CPU time of a call in milliseconds."""
    work()
    found = []
    for _ in range(rounds):
        begin = time.process_time()
        work()
        found.append(time.process_time() - begin)
    return min(found) * 1e3


def refresh_figures(symbols: int, sessions: int, rounds: int) -> dict[str, float]:
    """Measure the measures of a portfolio that holds ``symbols`` names with ``sessions`` of history."""
    dice = np.random.default_rng(symbols)
    returns = 0.01 * dice.standard_normal((sessions, symbols)) + 0.006 * dice.standard_normal((sessions, 1))
    universe = Universe(
        tuple(f"S{k}" for k in range(symbols)), sectors=tuple(f"sector {k % 11}" for k in range(symbols))
    )
    limits = RiskLimits(max_sector=0.4, max_leverage=2.0, max_var=0.05, utilization_warn=0.9, var_sessions=sessions)
    terms = compiled(limits, universe, ["main"])["main"]
    ids, values = np.arange(symbols), dice.uniform(0.5, 1.5, symbols) * 1e6 / symbols
    facts = Facts("main", 1e6, 1.1e6, ids, values, symbols, tuple(0.01 * dice.standard_normal(30)), Day())
    scenarios = load_scenarios()

    def normals(n: int) -> Any:
        return np.random.default_rng([1, n]).standard_normal((DRAWS, n))

    held = basis(returns, ids, values, universe, limits, scenarios, normals)
    without = basis(returns, ids, values, universe, limits, scenarios)
    weights = values / 1e6

    def renew(of: Any) -> Measures:
        return measure(facts, of, limits, terms)

    def bare() -> tuple[float, float]:
        pnl = returns @ weights
        lost = -float(np.quantile(pnl, 0.05))
        return lost, -float(pnl[pnl <= -lost].mean())

    return {
        "bare_ms": smallest_ms(bare, rounds),
        "refresh_ms": smallest_ms(partial(renew, held), rounds),
        "without_draws_ms": smallest_ms(partial(renew, without), rounds),
        "basis_ms": smallest_ms(
            partial(basis, returns, ids, values, universe, limits, scenarios, normals), max(3, rounds // 10)
        ),
    }


def correlation_figures(symbols: int, sessions: int, rounds: int) -> dict[str, float]:
    """Measure all pairs of so many symbols."""
    returns = 0.01 * np.random.default_rng(3).standard_normal((sessions, symbols))
    return {
        "bare_ms": smallest_ms(partial(np.corrcoef, returns, rowvar=False), rounds),
        "refresh_ms": smallest_ms(partial(matrix, returns, sessions * 2 // 3), rounds),
    }


# -- the answer ----------------------------------------------------------------------------------------------------


def figures(*, quick: bool) -> dict[str, Any]:
    """Measure everything."""
    orders, rounds = (200, 3) if quick else (500, 60)  # short rounds: some of them nobody interrupts
    large = 1_000 if quick else 10_000
    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "gate": {account: gate_figures(account, orders, rounds) for account in ("cash", "margin")},
        "measures": {
            "500 x 500": refresh_figures(500, 500, 3 if quick else 30),
            f"{large:,} x 500": refresh_figures(large, 500, 2 if quick else 10),
        },
        "correlation": correlation_figures(500, 60, 3 if quick else 30),
    }


def gate_rows(answer: dict[str, Any]) -> list[list[str]]:
    """Return the lines about the gate."""
    rows = []
    for account, found in answer["gate"].items():
        base = found["twelve comparisons"]
        for name, row in found.items():
            if name == "clock_us":
                continue
            cpu = "" if row["cpu_us"] is None else f"{row['cpu_us']:.2f}"
            ratio = f"{row['p50_us'] / base['p50_us']:.1f}"
            rows.append([account, name, f"{row['p50_us']:.2f}", f"{row['p99_us']:.2f}", cpu, ratio])
    return rows


def measure_rows(answer: dict[str, Any]) -> list[list[str]]:
    """Return the lines about the measures."""
    rows = []
    for name, row in [*answer["measures"].items(), ("correlation of 500", answer["correlation"])]:
        rest = [f"{row[key]:.2f}" if key in row else "" for key in ("without_draws_ms", "basis_ms")]
        wanted = f"{WANTED_MS[name]:.1f}" if name in WANTED_MS else ""
        ratio = f"{row['refresh_ms'] / row['bare_ms']:.1f}"
        rows.append([name, "", f"{row['refresh_ms']:.2f}", wanted, f"{row['bare_ms']:.3f}", ratio, *rest])
    return rows


def render(answer: dict[str, Any]) -> str:
    """Return everything as text."""
    clocks = ", ".join(f"{found['clock_us']:.2f}" for found in answer["gate"].values())
    return "\n".join(
        (
            f"Python {answer['python']}, numpy {answer['numpy']}",
            "",
            f"One call of the gate, every check on; the smallest of all rounds (wanted: p50 {P50_US}, p99 {P99_US} us)",
            table.grid(("account", "order", "p50 us", "p99 us", "CPU us", "to twelve"), gate_rows(answer)),
            f"(reading the clock, {clocks} us, is taken off the first two and not off CPU, which has the loop in it)",
            "",
            "Measures of one portfolio, symbols x sessions, ms of CPU, the smallest of all rounds",
            table.grid(
                ("what", "", "refresh", "wanted", "bare numpy", "ratio", "without draws", "basis"), measure_rows(answer)
            ),
        )
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few rounds: shows that it works")
    parser.add_argument("--json", action="store_true", help="figures instead of tables")
    told = parser.parse_args()
    answer = figures(quick=told.quick)
    sys.stdout.write((json.dumps(answer) if told.json else render(answer)) + "\n")


if __name__ == "__main__":
    main()
