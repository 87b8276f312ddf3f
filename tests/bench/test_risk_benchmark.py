"""The risk benchmark measures what it says: a gate with every check on, in a world where each has something to look at.

How fast it was, it prints; nothing here measures time.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from types import ModuleType

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
