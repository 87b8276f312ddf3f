"""The risk benchmark measures what it says: a gate with every check on, in a world where each has something to look at.

How fast it was, it prints; nothing here measures time.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from types import FrameType, ModuleType
from typing import Any

import msgspec
import pytest

from tests.conftest import ROOT

BENCH = ROOT / "ops" / "bench"
NAMES = ("table", "risk_world", "risk")
MEANT_OFF = ("replay_resume_sessions", "allow_short", "replay")
"""What is a rule of a replay or a permission, and no check of the gate."""


@pytest.fixture(scope="module")
def bench():
    """The scripts as modules, found as the script itself finds them: beside it."""
    before = set(sys.modules)
    sys.path.insert(0, str(BENCH))
    try:
        yield {name: importlib.import_module(name) for name in NAMES}
    finally:
        sys.path.remove(str(BENCH))
        for name in set(NAMES) - before:
            sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def world(bench: dict[str, ModuleType]):
    """The world of a cash account."""
    return bench["risk_world"].World()


def test_every_limit_there_is_is_on(world) -> None:
    """A limit that is added later and left off here fails this test: then the benchmark would not measure it."""
    limits = world.core.risk.limits
    off = [name for name in limits.__struct_fields__ if not getattr(limits, name) and name not in MEANT_OFF]
    assert off == []
    assert all(rule.limit > 0 for rule in limits.breakers.values())


def test_the_world_is_what_is_said_of_it(world) -> None:
    """Twenty positions, a hundred orders of which a fifth are stops, quotes that count, history behind measures."""
    risk = world.core.risk
    book = risk.exposure.books["main"]
    assert len(book.held()) == 20
    working = list(risk.exposure.working.values())
    assert len(working) == 100
    assert sum(w.stop_px is not None for w in working) == 20
    assert risk.history.known >= 252
    quotes = risk._remembered.price_limits.quotes
    assert all(quotes.of(symbol, world.now) is not None for symbol in range(30))
    assert risk.trading_state.value == "active"


@pytest.mark.parametrize(
    ("limit", "code"),
    [
        ({"max_var": 0.001}, "MAX_VAR"),
        ({"max_heat": 0.02}, "MAX_HEAT"),
        ({"max_correlation": 0.01, "correlation_shrink": 0.01}, "CORRELATION"),
        ({"correlation_shrink": 0.01, "max_cluster": 0.01}, "CLUSTER"),
        ({"max_sector": 0.01}, "MAX_SECTOR"),
        ({"book_max_leverage": 0.01}, "BOOK_LEVERAGE"),
        ({"max_order_adv": 0.000001}, "MAX_ADV"),
        ({"unusual_size": 0.001}, "UNUSUAL_SIZE"),
        ({"nbbo_tolerance": 0.00001}, "WIDE_SPREAD"),
    ],
)
def test_checks_that_need_something_to_look_at_have_it(bench, limit, code) -> None:
    """Each of them denies in this very world once its limit is tight: it is not skipped for want of data."""
    world = bench["risk_world"].World()
    world.core.risk._adopt(msgspec.structs.replace(world.core.risk.limits, **limit))
    [order] = world.market(1)
    assert world.gate.judge_new(order, world.now).code == code


def test_all_that_is_measured_passes(bench, world) -> None:
    """A denial ends early: what is timed goes through every check."""
    kinds = bench["risk"].calls_of(world, 40)
    assert sorted(kinds) == ["exit", "limit entry", "market entry", "replace"]
    assert all(len(calls) == 40 for calls in kinds.values())


def test_twelve_comparisons_compare_twelve_times(bench) -> None:
    """Counted by an integer that counts."""

    class Counting(int):
        compared = 0

        def __gt__(self, other: object) -> bool:
            Counting.compared += 1
            return int.__gt__(self, other)

    assert not bench["risk"].twelve(Counting(1), Counting(2), Counting(3), 10)
    assert Counting.compared == 12


MOST: dict[str, dict[str, tuple[float, int]]] = {
    "cash": {
        "market entry": (42.0, 33),  # counted: 37.5 and 29
        "limit entry": (43.0, 33),  # 38.2 and 29
        "exit": (9.0, 7),  # 7.9 and 6
        "replace": (44.5, 38),  # 39.6 and 34
        "behind a quote": (109.0, 125),  # 96.6 and 111
        "behind an acceptance": (102.0, 104),  # 90.2 and 92
    },
    "margin": {
        "market entry": (44.0, 36),  # 39.2 and 32
        "limit entry": (45.0, 36),  # 39.9 and 31
        "exit": (9.0, 7),  # 7.9 and 6
        "replace": (46.5, 40),  # 41.3 and 36
        "behind a quote": (186.0, 264),  # 165.9 and 235
        "behind an acceptance": (104.0, 107),  # 92.0 and 95
    },
}
"""Of an order's judgement: steps of the interpreter, in as many as twelve comparisons take, and calls into C."""


class Steps:
    """Counts steps of the interpreter and calls of functions that are written in C."""

    def __init__(self) -> None:
        """Begin at nothing."""
        self.steps = self.calls = 0

    def _called(self, frame: FrameType, event: str, arg: object) -> Any:
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return self._went_on

    def _went_on(self, frame: FrameType, event: str, arg: object) -> Any:
        self.steps += event == "opcode"
        return self._went_on

    def _profiled(self, frame: FrameType, event: str, arg: object) -> None:
        self.calls += event == "c_call"

    def of(self, call: Callable[[], object]) -> tuple[int, int]:
        """Return how many a call takes."""
        self.steps, self.calls = 0, -1  # the last one ends the counting
        before = sys.gettrace()
        sys.settrace(self._called)
        sys.setprofile(self._profiled)
        try:
            call()
        finally:
            sys.setprofile(None)
            sys.settrace(before)
        return self.steps, self.calls


@pytest.mark.parametrize("account", MOST)
def test_an_order_takes_no_more_steps_than_it_took(bench: dict[str, ModuleType], account: str) -> None:
    """The gate has not become dearer by more than an eighth, whatever the machine does: nothing here is timed.

    A check that looks at everything for every order once made an entry twice as dear, and only a quiet machine showed
    it. Steps of the interpreter and calls into C are the same in every run. They are no time: numpy counts as one call
    whatever it does, and so does arithmetic with large integers. But who sums over positions, working orders or
    sessions for each order anew takes many times the steps, and who calls numpy for it takes calls. Steps are told in
    units of twelve comparisons, so that another version of Python changes both sides. Whoever makes the gate do more
    for a good reason counts anew, and says so in ops/bench/README.md.
    """
    risk = bench["risk"]
    world = bench["risk_world"].World(account)
    count = Steps()
    twelve, _ = count.of(partial(risk.twelve, 1, 2, 3, 1000))
    found: dict[str, list[tuple[int, int]]] = {}
    for kind, calls in risk.calls_of(world, 40).items():
        found[kind] = [count.of(call) for call in calls]
    for what, happens in risk.disturbances(world).items():
        found[what] = []
        for order in world.market(40):
            happens()
            found[what].append(count.of(partial(world.gate.judge_new, order, world.now)))
    dearest = {kind: (max(s for s, _ in pairs) / twelve, max(c for _, c in pairs)) for kind, pairs in found.items()}
    assert sorted(dearest) == sorted(MOST[account])
    bounds = MOST[account]
    dearer = [kind for kind, (steps, calls) in dearest.items() if steps > bounds[kind][0] or calls > bounds[kind][1]]
    assert dearer == [], dearest


def test_one_command_prints_gate_and_measures() -> None:
    """The whole benchmark with few rounds."""
    done = subprocess.run(
        [sys.executable, str(BENCH / "risk.py"), "--quick", "--json"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    for found in answer["gate"].values():
        assert len(found) == 8
        assert all(row["p50_us"] <= row["p99_us"] for name, row in found.items() if name != "clock_us")
    assert list(answer["measures"]) == ["500 x 500", "1,000 x 500"]
    assert all(value > 0 for row in answer["measures"].values() for value in row.values())
