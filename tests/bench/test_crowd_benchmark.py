"""The benchmark of crowded symbols does what it says, and what it shows holds by count of calls, without a clock."""

from __future__ import annotations

import gc
import importlib
import json
import subprocess
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from actors.messages.orders import BUY, SELL
from tests.conftest import ROOT

BENCH = ROOT / "ops" / "bench"


@pytest.fixture(scope="module")
def crowd():
    """The script as a module, with those it finds beside it."""
    before = set(sys.modules)
    sys.path.insert(0, str(BENCH))
    try:
        yield importlib.import_module("crowd")
    finally:
        sys.path.remove(str(BENCH))
        for name in ("crowd", "own_orders", "own", "order_job", "job", "table"):
            if name not in before:
                sys.modules.pop(name, None)


def calls(run: Callable[[], Any]) -> int:
    """Return how many functions of Python were called."""
    count = 0

    def note(_frame: Any, event: str, _arg: Any) -> None:
        nonlocal count
        count += event == "call"

    gc.disable()  # what listens to collections would be counted
    sys.setprofile(note)
    try:
        run()
    finally:
        sys.setprofile(None)
        gc.enable()
    return count


def ticks(crowd: ModuleType, resting: int) -> tuple[int, int]:
    """Return the calls of a quote and of a print beside so many limits."""
    market = crowd.Market()
    market.quote()
    for n in range(resting):
        market.order(BUY, (9_800 + n % 199) * crowd.SCALE // 100)
    for tick in (market.quote, market.quote, market.trade):
        tick()
    return calls(market.quote), calls(market.trade)


def fills(crowd: ModuleType, lots: int) -> tuple[int, int]:
    """Return the calls of opening a lot beside so many, and of closing one."""
    market = crowd.Market()
    market.quote()
    crowd._fill(market, BUY, lots)
    return calls(lambda: crowd._fill(market, BUY, 1)), calls(lambda: crowd._fill(market, SELL, 1))


def test_a_tick_does_the_same_beside_ten_and_beside_four_hundred_orders_that_rest(crowd: ModuleType):
    """None of them is within its prices."""
    assert ticks(crowd, 10) == ticks(crowd, 400)


def test_a_fill_does_the_same_beside_ten_and_beside_four_hundred_lots(crowd: ModuleType):
    """It opens one, or closes the oldest."""
    assert fills(crowd, 10) == fills(crowd, 400)


def test_the_quick_run_prints_a_row_for_each_crowd():
    """Every figure is a positive number."""
    words = [sys.executable, str(BENCH / "crowd.py"), "--quick", "--json"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["rows"]
    assert [row.pop("beside") for row in rows] == [0, 100]
    assert all(list(row) == ["quote", "print", "opening a lot", "closing one"] for row in rows)
    assert all(figure > 0 for row in rows for figure in row.values())
